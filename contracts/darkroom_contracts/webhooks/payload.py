"""The body of a delivery: JSON, encoded once and the same in every attempt."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from darkroom_contracts.api.jobs import EventJob, Timestamp
from darkroom_contracts.webhooks import WebhookEvent

MAX_PAYLOAD_BYTES = 20_000
"""A larger payload is truncated. Source: Standard Webhooks 1.0.0, "Payload size"."""


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state of a job."""

    type: Annotated[WebhookEvent, Meta(description="The change that the event reports.")]
    timestamp: Annotated[Timestamp, Meta(description="When the job changed; every attempt has the same.")]
    data: Annotated[EventJob, Meta(description="The job as it was then.")]
    truncated: Annotated[
        tuple[str, ...], Meta(description="Fields of `data` that were left out because the payload was too large.")
    ] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event of another type. A receiver ignores the types that it does not handle."""

    type: Annotated[str, Meta(description="What happened.")]
    timestamp: Annotated[Timestamp, Meta(description="When it happened; every attempt has the same.")]
    data: Annotated[dict[str, Any], Meta(description="Depends on the type.")]
    truncated: Annotated[
        tuple[str, ...], Meta(description="Fields of `data` that were left out because the payload was too large.")
    ] = ()
