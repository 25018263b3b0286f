"""Version 2 of the render message, which contains the whole job.

The row still decides. The content of the message is for people, for other consumers, and for a database that was
restored from a backup older than the job.
"""

from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api import JobInput, Timestamp
from darkroom_contracts.messages import v1
from darkroom_contracts.webhooks import WebhookEvent

Text = Annotated[str, Meta(max_length=4096, pattern=r"^[^\x00]*$")]
"""Bounded and without NUL, which Postgres refuses: the dead letter of an orphan stores it."""


class Render(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="darkroom.render.v2"):
    """Asks a GPU consumer to claim a job and, if Postgres grants the claim, to render it."""

    job_id: UUID
    generation: v1.Generation
    model: v1.ModelName
    """The model that renders it, which an operator's edit may have changed."""
    model_revision: Text | None = None
    """The commit of the model in the catalogue when the message was built; null if it pins none."""
    tenant_id: UUID
    user_id: Text | None = None
    key_id: Text | None = None
    input: JobInput
    """With operators' edits."""
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
    """The database of the job."""
    stamped_at: Timestamp
    """Creation of the message's outbox row, by the database's clock."""
    traceparent: v1.Traceparent
    """W3C Trace Context of the request that submitted the job."""


RenderMessage: TypeAlias = v1.Render | Render

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[v1.Render | v1.Progress | v1.Preview | Render] = msgspec.json.Decoder(
    v1.Render | v1.Progress | v1.Preview | Render
)


def encode_render(message: RenderMessage) -> bytes:
    """Return a render message of any version as JSON."""
    return _encoder.encode(message)


def decode_render(body: bytes) -> RenderMessage:
    """Decode a render message of any version.

    Raises UndecodableMessageError for malformed JSON, an unknown version, and missing or wrong fields.
    """
    try:
        message = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise v1.UndecodableMessageError(str(error)) from error
    if isinstance(message, v1.Render | Render):
        return message
    raise v1.unexpected(message)
