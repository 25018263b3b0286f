"""Version 1 of the messages. Its render message is still read; version 2 is published.

The tag has the version. Within a version only fields with defaults are added, and a test pins the bytes of every
released message. A message is a hint that a job may be due: Postgres decides what happens.
"""

from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

T = TypeVar("T")

CONTENT_TYPE = "application/json"

Generation = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Bounded like its column: Postgres would refuse to search for a larger one."""
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Traceparent = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00]*$")]


class Render(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.render.v1"):
    """Asks a GPU consumer to claim a job and, if Postgres grants the claim, to render it."""

    job_id: UUID
    generation: Generation
    model: ModelName
    traceparent: Traceparent
    """W3C Trace Context of the request that submitted the job."""


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.progress.v1"):
    """A step of a running attempt. Transient, for live views only."""

    job_id: UUID
    generation: int
    attempt: int
    step: int
    steps: int


class Preview(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.preview.v1"):
    """A small version of a job's first picture after a step. Transient, for live views only."""

    job_id: UUID
    generation: int
    attempt: int
    step: int
    width: int
    """Pixels."""
    height: int
    png: bytes
    """Base64 in JSON."""


class UndecodableMessageError(ValueError):
    """The message cannot be decoded."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The message cannot be decoded: {reason}")
        self.reason = reason


_encoder = msgspec.json.Encoder()
# msgspec requires a tag only in a union: alone, each type would decode without one.
_decoder: msgspec.json.Decoder[Render | Progress | Preview] = msgspec.json.Decoder(Render | Progress | Preview)


def encode(message: Render | Progress | Preview) -> bytes:
    """Return the message as JSON."""
    return _encoder.encode(message)


def decode_progress(body: bytes) -> Progress:
    """Decode a step.

    Raises UndecodableMessageError for malformed JSON, an unknown version, and missing or wrong fields.
    """
    return _decode_as(Progress, body)


def decode_preview(body: bytes) -> Preview:
    """Decode a preview. Raises UndecodableMessageError as decode_progress does."""
    return _decode_as(Preview, body)


def decode_live(body: bytes) -> Progress | Preview:
    """Decode a message of the live events. Raises UndecodableMessageError as decode_progress does."""
    message = _decode(body)
    if isinstance(message, Render):
        raise unexpected(message)
    return message


def _decode_as(wanted: type[T], body: bytes) -> T:
    message = _decode(body)
    if not isinstance(message, wanted):
        raise unexpected(message)
    return message


def _decode(body: bytes) -> Render | Progress | Preview:
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(str(error)) from error


def unexpected(message: msgspec.Struct) -> UndecodableMessageError:
    """Return the error for a message of an unexpected type."""
    return UndecodableMessageError(f"{type(message).__name__} is not expected here")
