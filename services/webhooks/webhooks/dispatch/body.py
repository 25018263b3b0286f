"""The body of a delivery: the API's own encoding of the job as it was."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from chassis.jobs.row import JobRow
from chassis.jobs.view import event_view
from darkroom_contracts.api import encode
from darkroom_contracts.webhooks import WebhookEvent
from darkroom_contracts.webhooks.payload import MAX_PAYLOAD_BYTES, JobEvent

_LEFT_OUT: tuple[tuple[str, Any], ...] = (
    ("input", None),
    ("metadata", {}),
    ("edits", None),
    ("receipt", None),
    ("outputs", []),
    ("error", None),
)
"""Fields that are left out of a payload that is too large, in this order, and what replaces them."""


class UndecodableSnapshotError(ValueError):
    """This version can't decode the job of a delivery. The message does not quote it."""

    def __init__(self) -> None:
        super().__init__("The job can't be decoded by this version, so the delivery was not sent.")


def encode_body(event: str, created_at: datetime, snapshot: bytes, public_origin: str) -> bytes:
    """Return the JSON of an event, of at most MAX_PAYLOAD_BYTES. Raises UndecodableSnapshotError.

    `public_origin` makes the pictures' links absolute.
    """
    try:
        row = msgspec.json.decode(snapshot, type=JobRow)
        kind = WebhookEvent(event)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # whose message would quote the job
        raise UndecodableSnapshotError from None
    payload = JobEvent(type=kind, timestamp=created_at, data=event_view(row, public_origin))
    return _fitting(payload)


def _fitting(payload: JobEvent) -> bytes:
    body = encode(payload)
    for field, substitute in _LEFT_OUT:
        if len(body) <= MAX_PAYLOAD_BYTES:
            break
        data = replace(payload.data, **{field: substitute})
        payload = replace(payload, data=data, truncated=(*payload.truncated, field))
        body = encode(payload)
    return body
