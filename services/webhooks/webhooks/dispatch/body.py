"""The body of a delivery: the API's own encoding of the job as it was, or the data of another event."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from chassis.jobs.row import JobRow
from chassis.jobs.view import event_view
from darkroom_contracts.api import encode
from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.payload import MAX_PAYLOAD_BYTES, Event, JobEvent

_LEFT_OUT: tuple[tuple[str, Any], ...] = (
    ("input", None),
    ("metadata", {}),
    ("edits", None),
    ("receipt", None),
    ("outputs", []),
    ("error", None),
)
"""Fields that are left out of a payload that is too large, in this order, and what replaces them."""
_OF_JOBS = "job."


class UndecodableContentError(ValueError):
    """This version can't decode the content of a delivery, or it is too large. The message does not quote it."""

    def __init__(self) -> None:
        super().__init__("The content can't be encoded by this version, so the delivery was not sent.")


def encode_body(event: str, created_at: datetime, content: bytes, public_origin: str) -> bytes:
    """Return the JSON of an event, of at most MAX_PAYLOAD_BYTES. Raises UndecodableContentError.

    `content` is a JobRow, or the data of an event that is not a job's. `public_origin` makes the pictures' links
    absolute.
    """
    try:
        if event.startswith(_OF_JOBS):
            return _encode_job(WebhookEvent(event), created_at, content, public_origin)
        return _encode_data(event, created_at, content)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # whose message would quote the content
        raise UndecodableContentError from None


def _encode_job(event: WebhookEvent, created_at: datetime, content: bytes, public_origin: str) -> bytes:
    row = msgspec.json.decode(content, type=JobRow)
    payload = JobEvent(type=event, timestamp=created_at, data=event_view(row, public_origin))
    body = encode(payload)
    for field, substitute in _LEFT_OUT:
        if len(body) <= MAX_PAYLOAD_BYTES:
            break
        data = replace(payload.data, **{field: substitute})
        payload = replace(payload, data=data, truncated=(*payload.truncated, field))
        body = encode(payload)
    return body


def _encode_data(event: str, created_at: datetime, content: bytes) -> bytes:
    body = encode(Event(type=event, timestamp=created_at, data=msgspec.json.decode(content, type=dict[str, Any])))
    if len(body) > MAX_PAYLOAD_BYTES:
        raise UndecodableContentError
    return body
