"""A delivery as the service encodes and signs it, and as the client verifies and reads it."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from chassis.jobs.row import JobRow
from darkroom import webhooks
from darkroom_contracts.api import JobError
from darkroom_contracts.states import JobStatus
from tests.support.deliveries import NOON, delivery, endpoint
from tests.support.models import job_input
from webhooks.dispatch.body import encode_body
from webhooks.dispatch.signing import signed_headers
from webhooks.secrets import MasterKeys

KEYS = MasterKeys([f"first:{'a1' * 32}"])
JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")


def body(prompt: str) -> bytes:
    row = JobRow(
        id=JOB_ID,
        tenant_id=UUID(int=1),
        model="tiny",
        input=job_input(prompt=prompt),
        status=JobStatus.FAILED,
        version=3,
        attempt=1,
        max_attempts=4,
        created_at=NOON,
        queued_at=NOON,
        started_at=NOON,
        completed_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        error=JobError("pipeline_error", "The scheduler failed.", retryable=False),
    )
    return encode_body("job.failed", NOON, msgspec.json.encode(row), "https://darkroom.example")


@pytest.mark.parametrize(("prompt", "truncated"), [("a lighthouse", ()), ("я" * 12_000, ("input",))])
def test_the_client_reads_what_the_service_sends(prompt: str, truncated: tuple[str, ...]) -> None:
    """Whole or truncated, with either secret of a rotation."""
    sent = delivery(endpoint=endpoint(rotation=1, previous_master_key="first"), body=body(prompt))
    headers = signed_headers(sent, KEYS)
    for rotation in (0, 1):
        event = webhooks.unwrap(headers, sent.body, KEYS.secret("first", sent.endpoint.id, rotation))
        assert isinstance(event, webhooks.JobEvent)
        assert (event.id, event.type, event.timestamp) == (str(sent.id), "job.failed", NOON)
        assert (event.data.id, event.data.version, event.truncated) == (JOB_ID, 3, truncated)
        assert (event.data.input is None) == bool(truncated)
