"""The body of a delivery."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chassis.jobs.row import JobRow
from darkroom_contracts.api import JobError
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks.payload import MAX_PAYLOAD_BYTES, Event, JobEvent
from tests.support.deliveries import NOON
from tests.support.models import job_input
from webhooks.dispatch.body import UndecodableContentError, encode_body


def snapshot(**changes: Any) -> bytes:
    """Return the snapshot of a failed job, with changes."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "tenant_id": uuid4(),
        "model": "tiny",
        "input": job_input(),
        "status": JobStatus.FAILED,
        "version": 3,
        "attempt": 1,
        "max_attempts": 4,
        "created_at": NOON,
        "queued_at": NOON,
        "started_at": NOON,
        "completed_at": NOON,
        "expires_at": NOON + timedelta(hours=1),
        "error": JobError("pipeline_error", "The scheduler failed.", retryable=False),
    }
    return msgspec.json.encode(JobRow(**values | changes))


def encoded(row: bytes) -> JobEvent:
    return msgspec.json.decode(encode_body("job.failed", NOON, row, "https://darkroom.example"), type=JobEvent)


def test_it_is_the_public_job() -> None:
    """With the event's type and time, and nothing left out."""
    event = encoded(snapshot(metadata={"for": "Ada"}))
    assert (event.type, event.timestamp, event.truncated) == ("job.failed", NOON, ())
    assert (event.data.status, event.data.version, event.data.metadata) == ("failed", 3, {"for": "Ada"})
    assert event.data.input == job_input()


def test_equal_snapshots_give_equal_bytes() -> None:
    """A body that is encoded twice, because its first claim was lost, is the same."""
    row = snapshot()
    assert encode_body("job.failed", NOON, row, "") == encode_body("job.failed", NOON, row, "")


def test_a_long_input_is_left_out() -> None:
    """The payload says so, and has everything else."""
    event = encoded(snapshot(input=job_input(prompt="я" * 12_000), metadata={"for": "Ada"}))
    assert (event.data.input, event.data.metadata, event.truncated) == (None, {"for": "Ada"}, ("input",))


def test_the_bound_is_inclusive() -> None:
    """A payload of just 20,000 bytes is whole; with a byte more the input is left out."""
    job_id, tenant_id = uuid4(), uuid4()

    def body(length: int) -> bytes:
        row = snapshot(id=job_id, tenant_id=tenant_id, input=job_input(prompt="x" * length))
        return encode_body("job.failed", NOON, row, "")

    fits = 1_000 + MAX_PAYLOAD_BYTES - len(body(1_000))
    assert (len(body(fits)), MAX_PAYLOAD_BYTES) == (20_000, 20_000)
    whole, cut = (msgspec.json.decode(body(length), type=JobEvent) for length in (fits, fits + 1))
    assert (whole.truncated, whole.data.input is None) == ((), False)
    assert (cut.truncated, cut.data.input) == (("input",), None)


def test_no_job_is_too_large() -> None:
    """Whatever is long goes, in order, until the payload fits."""
    metadata = {str(number): "\x01" * 500 for number in range(16)}
    error = JobError("pipeline_error", "ü" * 30_000, retryable=False)
    row = snapshot(input=job_input(prompt="x" * 30_000), metadata=metadata, error=error)
    body = encode_body("job.failed", NOON, row, "")
    assert len(body) <= MAX_PAYLOAD_BYTES
    event = msgspec.json.decode(body, type=JobEvent)
    assert event.truncated == ("input", "metadata", "edits", "receipt", "outputs", "error")
    assert (event.data.status, event.data.error) == ("failed", None)


@pytest.mark.parametrize("row", [b"", b"{}", b"[]", snapshot().replace(b"failed", b"burnt")])
def test_what_cant_be_decoded_is_not_sent(row: bytes) -> None:
    """The error quotes nothing of it."""
    with pytest.raises(UndecodableContentError) as refused:
        encode_body("job.failed", NOON, row, "")
    assert "burnt" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_other_events_have_their_data() -> None:
    """Whatever their type is; data that does not fit is refused instead of truncated."""
    body = encode_body("webhook_endpoint.test", NOON, b'{"endpoint_id": "a"}', "")
    event = msgspec.json.decode(body, type=Event)
    assert (event.type, event.timestamp, event.data) == ("webhook_endpoint.test", NOON, {"endpoint_id": "a"})
    for content in (b"", b"[]", msgspec.json.encode({"long": "x" * MAX_PAYLOAD_BYTES})):
        with pytest.raises(UndecodableContentError):
            encode_body("webhook_endpoint.test", NOON, content, "")


def test_an_unknown_event_is_not_sent() -> None:
    """Another version recorded it."""
    with pytest.raises(UndecodableContentError):
        encode_body("job.vanished", NOON, snapshot(), "")
