"""Verdicts on messages, from the rows of their jobs."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages import v2
from gpu_consumer.job.verdict import (
    Claimed,
    DeadLettered,
    Foreign,
    NotDue,
    Obsolete,
    Orphan,
    Paused,
    Verdict,
    claimed_from,
    judge,
    judge_returned,
)
from tests.support.models import job_input
from tests.unit.gpu_consumer.parts import JOB_ID, MESSAGE

TOKEN, INSTANCE = UUID(int=2), UUID(int=3)


def row(**changes: Any) -> dict[str, Any]:
    """Return the row of a queued job that can be claimed, with changes."""
    values: dict[str, Any] = {
        "id": JOB_ID,
        "generation": 1,
        "status": "queued",
        "lease_token": None,
        "attempt": 1,
        "model": "tiny",
        "input": b"{}",
        "previous_error": None,
        "dead_lettered": False,
        "deadline_seconds": None,
        "process_losses": 0,
        "waits": False,
        "wait_ms": None,
        "paused": False,
        "instance_id": INSTANCE,
        "purged": False,
    }
    return values | changes


def message_of(instance_id: UUID) -> v2.Render:
    """Return a message of the second version, which names its database."""
    now = datetime.now(UTC)
    return v2.Render(
        job_id=JOB_ID,
        generation=1,
        model="tiny",
        tenant_id=uuid4(),
        input=job_input(),
        cost=1,
        created_at=now,
        expires_at=now,
        ttl_seconds=3600,
        max_attempts=4,
        instance_id=instance_id,
        stamped_at=now,
        traceparent=MESSAGE.traceparent,
    )


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"generation": 2}, Obsolete("superseded")),
        ({"status": "running"}, Obsolete("running")),
        ({"status": "failed", "dead_lettered": True}, DeadLettered()),
        ({"waits": True, "wait_ms": 1500.0}, NotDue(1500.0)),
        ({"waits": True, "wait_ms": -3.0, "paused": True}, NotDue(0.0)),
        ({"paused": True}, Paused()),
        ({"status": "running", "paused": True}, Obsolete("running")),
        ({"id": None}, Orphan()),
        ({"id": None, "purged": True}, Obsolete("purged")),
    ],
)
def test_a_row_says_what_to_do_about_its_message(changes: dict[str, Any], verdict: Verdict) -> None:
    """Generation first, then the job's state; no row is an orphan, unless retention removed it."""
    assert judge(row(**changes), MESSAGE, uuid4()) == verdict


def test_a_claim_whose_answer_was_lost_is_found_by_its_token() -> None:
    """The row shows the token of the claim in doubt; another's token shows nothing."""
    held = row(status="running", lease_token=TOKEN)
    assert judge(held, MESSAGE, TOKEN) == claimed_from(held)
    assert judge(held, MESSAGE, uuid4()) == Obsolete("running")
    assert judge(held, MESSAGE) == Obsolete("running")


def test_a_message_that_names_another_database_is_foreign() -> None:
    """Another database's message is foreign even if jobs of its age were purged; this database's is an orphan."""
    absent = row(id=None, purged=True)
    assert judge(absent, message_of(uuid4())) == Foreign()
    assert judge(row(id=None), message_of(INSTANCE)) == Orphan()


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, NotDue(0.0)),
        ({"waits": True, "wait_ms": 1500.0, "paused": True}, NotDue(1500.0)),
        ({"status": "running"}, Obsolete("running")),
        ({"generation": 2}, Obsolete("superseded")),
    ],
)
def test_the_message_of_a_returned_job_is_parked_at_least(changes: dict[str, Any], verdict: Verdict) -> None:
    """The message of a returned job is parked even if the job is due."""
    assert judge_returned(row(**changes), MESSAGE) == verdict


def test_a_claim_knows_its_history() -> None:
    """A claim has the code of the failure before, losses and deadline; a code of a later version counts as none."""
    claimed = claimed_from(
        row(lease_token=TOKEN, previous_error="out_of_memory", process_losses=2, deadline_seconds=4.5)
    )
    assert claimed == Claimed(JOB_ID, 1, TOKEN, 1, "tiny", b"{}", JobErrorCode.OUT_OF_MEMORY, 2, 4.5)
    assert claimed_from(row(lease_token=TOKEN, previous_error="of_tomorrow")).previous_error is None
