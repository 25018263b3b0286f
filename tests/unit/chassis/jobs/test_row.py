"""Rows of `jobs`, decoded in one place."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from chassis.jobs.row import DeletedRow, JobRow, UndecodableColumnError, UndecodableRow, decode_columns, decode_job
from darkroom_contracts.api import JobError, JobMetrics
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent
from tests.support.job_rows import NOON
from tests.support.models import job_input

JOB, TENANT = UUID(int=1), UUID(int=2)
STORED = StoredOutput(0, "jobs/1/0-ab.png", "image/png", 64, 64, 3000, "ab", 7)
ERROR = JobError("worker_lost", "The worker is gone.", retryable=True)


def record(**changes: Any) -> dict[str, Any]:
    """Return a row as asyncpg gives it: JSON as bytes, enumerations as text."""
    job = JobRow(
        id=JOB,
        tenant_id=TENANT,
        model="tiny",
        input=job_input(),
        max_attempts=4,
        created_at=NOON,
        queued_at=NOON,
        expires_at=NOON,
    )
    encoded = {name: getattr(job, name) for name in JobRow.__struct_fields__} | {
        "status": "queued",
        "input": msgspec.json.encode(job.input),
        "metadata": b"{}",
        "outputs": b"[]",
        "metrics": None,
        "deleted": False,
    }
    return encoded | changes


def test_json_and_enumerations_are_decoded() -> None:
    """What is null in the database becomes the field's empty value."""
    row = decode_job(
        record(
            status="failed",
            metadata=b'{"for":"Ada"}',
            outputs=msgspec.json.encode([STORED]),
            error=msgspec.json.encode(ERROR),
            edits=b'{"model":"tiny"}',
        ),
        JobRow,
    )
    assert isinstance(row, JobRow)
    assert (row.status, row.metadata, row.outputs, row.error) == (JobStatus.FAILED, {"for": "Ada"}, [STORED], ERROR)
    assert (row.edits, row.receipt, row.metrics, row.input) == ({"model": "tiny"}, None, JobMetrics(), job_input())


def test_what_else_a_query_selects_goes_into_the_fields_of_a_subclass() -> None:
    """A service may read more of a job than others do."""

    class Placed(JobRow, frozen=True, kw_only=True):
        ahead: int

    row = decode_job(record(ahead=3, unasked="x"), Placed)
    assert isinstance(row, Placed)
    assert row.ahead == 3


def test_a_deleted_job_is_not_decoded() -> None:
    """Its columns are redacted."""
    assert decode_job(record(deleted=True, input=b"{}"), JobRow) == DeletedRow(TENANT)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "dreaming"),
        ("input", b"{}"),
        ("metadata", b'{"secret":1}'),
        ("outputs", b"["),
        ("error", b'"secret"'),
    ],
)
def test_a_column_that_cannot_be_decoded_is_named(column: str, value: object) -> None:
    """The row itself is not quoted: it may hold a prompt."""
    assert decode_job(record(**{column: value}), JobRow) == UndecodableRow(JOB, TENANT, column)
    with pytest.raises(UndecodableColumnError) as caught:
        decode_columns({column: value}, [column])
    assert str(caught.value) == f"The column {column} cannot be decoded."


def test_columns_are_decoded_singly() -> None:
    """Those that nobody asked for may hold anything."""
    row = {"webhook_events": ["job.failed"], "input": b"broken", "ttl_seconds": 60}
    assert decode_columns(row, ["webhook_events", "ttl_seconds"]) == {
        "webhook_events": (WebhookEvent.FAILED,),
        "ttl_seconds": 60,
    }
