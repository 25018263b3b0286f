"""The body of a delivery."""

import msgspec
import pytest
from msgspec.structs import replace

from darkroom_contracts.api import Job, KeptOutput, Output, encode
from darkroom_contracts.webhooks.payload import MAX_PAYLOAD_BYTES, Event, JobEvent
from tests.support.webhooks import AT, BODY, SUCCEEDED


def test_an_event_is_read_as_it_was_encoded() -> None:
    """The encoder's bytes decode into an equal event, with and without the input."""
    cut = replace(SUCCEEDED, data=replace(SUCCEEDED.data, input=None), truncated=("input",))
    for event in (SUCCEEDED, cut):
        assert msgspec.json.decode(encode(event), type=JobEvent) == event
    assert b'"input":null' in encode(cut)


def test_the_parts_of_an_event() -> None:
    """The names of an event's parts are pinned; `data` has the fields of a job of the API."""
    body = msgspec.json.decode(BODY)
    assert list(body) == ["type", "timestamp", "data", "truncated"]
    assert (body["type"], body["timestamp"], body["truncated"]) == ("job.succeeded", "2026-11-21T12:00:09Z", [])
    assert list(body["data"]) == [field.encode_name for field in msgspec.structs.fields(Job)]
    assert len(BODY) < MAX_PAYLOAD_BYTES == 20_000


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
    body = msgspec.json.decode(BODY)
    body["data"]["added"] = body["added"] = 1
    assert msgspec.json.decode(encode(body), type=JobEvent) == SUCCEEDED
    del body["data"]["status"]
    with pytest.raises(msgspec.ValidationError, match="status"):
        msgspec.json.decode(encode(body), type=JobEvent)
