"""Version 2 of the render message: complete, so that it carries a job whose row is gone.

The row still decides. What the message adds is for people, for other consumers, and for a database that was restored
from a backup older than the job.
"""

from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api import JobInput, Timestamp
from darkroom_contracts.messages import v1
from darkroom_contracts.webhooks import WebhookEvent

Text = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00]*$")]
"""Bounded, and without the NUL that Postgres refuses: what an orphan's letter keeps of a message comes from here."""


class Render(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="darkroom.render.v2"):
    """Asks a GPU consumer to look at a job, and to render it if Postgres lets it claim the job."""

    job_id: UUID
    generation: v1.Generation
    model: v1.ModelName
    """Whose workers render it: an operator's edit may have changed what was submitted."""
    model_revision: Text | None = None
    """The catalogue's commit of the model when the message was built; null where it pins none."""
    tenant_id: UUID
    user_id: Text | None = None
    key_id: Text | None = None
    input: JobInput
    """Operators' edits included."""
    webhook_url: Text | None = None
    webhook_events: tuple[WebhookEvent, ...] = ()
    metadata: dict[str, str] = {}
    priority: int = 0
    cost: int
    """Pixel steps: width x height x steps x images."""
    created_at: Timestamp
    expires_at: Timestamp
    ttl_seconds: int
    deadline_seconds: int | None = None
    deadline_at: Timestamp | None = None
    max_attempts: int
    retried_from: UUID | None = None
    idempotency_key: Text | None = None
    body_hash: bytes | None = None
    """SHA-256 of the request's body, base64 in JSON; null without an Idempotency-Key."""
    instance_id: UUID
    """The database that holds the job."""
    stamped_at: Timestamp
    """When this message was asked for: its outbox row's creation, by the database's clock."""
    traceparent: v1.Traceparent
    """W3C Trace Context of the request that submitted the job."""


RenderMessage: TypeAlias = v1.Render | Render

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[v1.Render | v1.Progress | v1.Preview | Render] = msgspec.json.Decoder(
    v1.Render | v1.Progress | v1.Preview | Render
)


def encode_render(message: RenderMessage) -> bytes:
    """Write a render message in its own version."""
    return _encoder.encode(message)


def decode_render(body: bytes) -> RenderMessage:
    """Read a render message of any version.

    Raises UndecodableMessageError for broken JSON, an unknown version, and missing or wrong fields.
    """
    try:
        message = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise v1.UndecodableMessageError(str(error)) from error
    if isinstance(message, v1.Render | Render):
        return message
    raise v1.unexpected(message)
