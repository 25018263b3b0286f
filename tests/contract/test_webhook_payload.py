"""The body of a delivery."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from darkroom_contracts.api import EventJob, Job, JobInput, KeptOutput, Output, encode
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.payload import Event, JobEvent

JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
PICTURE = KeptOutput(
    index=0,
    content_type="image/png",
    width=64,
    height=64,
    size_bytes=9,
    sha256="ab" * 32,
    seed=7,
    link=f"/v1/jobs/{JOB_ID}/outputs/0",
)
EVENT = JobEvent(
    type=WebhookEvent.SUCCEEDED,
    timestamp=AT,
    data=EventJob(
        id=JOB_ID,
        status=JobStatus.SUCCEEDED,
        version=3,
        model="tiny",
        input=JobInput("a lighthouse", "", 20, 7.5, "ddim", 64, 64, 7, 1, "png"),
        created_at=AT,
        queued_at=AT,
        expires_at=AT,
        max_attempts=4,
        outputs=[PICTURE],
        urls=job_urls(JOB_ID),
    ),
)


def test_an_event_is_read_as_it_was_encoded() -> None:
    """The encoder's bytes decode into an equal event, with and without the input."""
    cut = replace(EVENT, data=replace(EVENT.data, input=None), truncated=("input",))
    for event in (EVENT, cut):
        assert msgspec.json.decode(encode(event), type=JobEvent) == event
    assert b'"input":null' in encode(cut)


def test_the_parts_of_an_event() -> None:
    """The names of an event's parts are pinned; `data` has the fields of a job of the API."""
    body = msgspec.json.decode(encode(EVENT))
    assert list(body) == ["type", "timestamp", "data", "truncated"]
    assert (body["type"], body["timestamp"], body["truncated"]) == ("job.succeeded", "2026-11-21T12:00:00Z", [])
    assert list(body["data"]) == [field.encode_name for field in msgspec.structs.fields(Job)]


def test_pictures_have_a_link_and_no_presigned_url() -> None:
    """Presigned URLs expire before a late attempt is received."""
    kept = {field.name for field in msgspec.structs.fields(KeptOutput)}
    assert {field.name for field in msgspec.structs.fields(Output)} - kept == {"url", "url_expires_at"}
    assert "link" in kept


def test_an_event_of_another_type_is_read_too() -> None:
    """A type that this version does not have keeps its data, so that a receiver can ignore it."""
    body = encode({"type": "endpoint.disabled", "timestamp": AT, "data": {"id": 1}, "new": True})
    assert msgspec.json.decode(body, type=Event) == Event(type="endpoint.disabled", timestamp=AT, data={"id": 1})


def test_a_later_version_may_add_fields() -> None:
    """Fields that a receiver does not have are skipped; a field that is missing is an error."""
    body = msgspec.json.decode(encode(EVENT))
    body["data"]["added"] = body["added"] = 1
    assert msgspec.json.decode(encode(body), type=JobEvent) == EVENT
    del body["data"]["version"], body["data"]["status"]
    with pytest.raises(msgspec.ValidationError, match="status"):
        msgspec.json.decode(encode(body), type=JobEvent)
