"""The lease: heartbeats, and reasons to stop."""

import asyncio
import time
from typing import Any, cast
from uuid import uuid4

import pytest

from chassis.postgres import DatabaseBusyError, DatabaseUnavailableError
from gpu_consumer.lease import Interruption, Lease
from gpu_consumer.outcome import Canceled, Dead, Discarded, Released
from gpu_consumer.render.protocol import Step
from gpu_consumer.store import Beat, Claimed, Store

CLAIMED = Claimed(uuid4(), 1, uuid4(), 1, "tiny", b"{}", None)


class Answers:
    """Stands in for the store's heartbeat: each beat gets the next answer, the last one for ever."""

    def __init__(self, *answers: Beat | Exception | None) -> None:
        self._answers = list(answers)
        self.steps: list[tuple[int | None, int | None]] = []

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        self.steps.append((step, steps))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def lease_on(answers: Answers, seconds: float = 60) -> Lease:
    return Lease(cast(Store, answers), CLAIMED, seconds)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Beat(cancel_requested=False), None),
        (Beat(cancel_requested=True), Interruption.CANCEL),
        (None, Interruption.LEASE_LOST),
        (DatabaseUnavailableError("away"), None),
        (DatabaseBusyError("full"), None),
    ],
)
async def test_a_beat_tells_what_the_row_says(answer: Any, expected: Interruption | None) -> None:
    """Postgres being away interrupts nothing; a row that is no longer ours, or a cancel, does."""
    lease = lease_on(Answers(answer))
    await lease.beat()
    assert lease.interruption == expected


async def test_a_beat_carries_the_latest_step() -> None:
    """Steps go onto the record with the heartbeat."""
    answers = Answers(Beat(cancel_requested=False))
    lease = lease_on(answers)
    await lease.beat()
    lease.progress(Step(3, 20))
    await lease.beat()
    assert answers.steps == [(None, None), (3, 20)]


async def test_hurry_beats_before_the_interval_is_over() -> None:
    """A cancel that was heard of is asked for at once."""
    async with lease_on(Answers(Beat(cancel_requested=True))) as lease:
        lease.hurry()
        await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert lease.interruption == Interruption.CANCEL


async def test_beats_go_on_after_a_failed_one() -> None:
    """The next beat finds Postgres back."""
    answers = Answers(DatabaseUnavailableError("away"), Beat(cancel_requested=True))
    async with lease_on(answers, 0.01) as lease:
        await asyncio.wait_for(lease.wait_interrupted(), 5)
    assert len(answers.steps) >= 2


def test_the_first_reason_stands_but_for_a_lost_lease() -> None:
    """A cancel is not turned into a release; a job that is another's is nothing to decide about."""
    lease = lease_on(Answers(None))
    lease.interrupt(Interruption.CANCEL)
    lease.interrupt(Interruption.DRAIN)
    assert lease.interruption == Interruption.CANCEL
    lease.interrupt(Interruption.LEASE_LOST)
    assert lease.lost


def test_each_reason_has_its_outcome() -> None:
    """What stops a render decides what is recorded."""
    *outcomes, overtime = [reason.outcome() for reason in Interruption]
    assert outcomes == [Canceled(), Discarded(), Released()]
    assert isinstance(overtime, Dead)
    assert overtime.error.code == "render_timeout"


def test_an_overtime_tells_how_far_it_came() -> None:
    """The last step is on the record."""
    outcome = Interruption.OVERTIME.outcome(Step(3, 20))
    assert isinstance(outcome, Dead)
    assert (outcome.error.step, outcome.error.steps) == (3, 20)


async def test_a_cancel_s_age_is_known() -> None:
    """So that it can be told how long it took, from the request on."""
    lease = lease_on(Answers(Beat(cancel_requested=True, cancel_age_seconds=2.0)))
    before = time.perf_counter()
    await lease.beat()
    assert lease.cancel_requested_at is not None
    assert before - 2 <= lease.cancel_requested_at <= time.perf_counter() - 2
