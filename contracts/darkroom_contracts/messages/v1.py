"""Version 1 of the messages. Its render message is still read; what is published is version 2.

The version lives in the tag. Within a version only defaulted fields are added, and the bytes of every released
message are pinned by a test. A message is a hint that a job wants attention: Postgres decides what happens.
"""

from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

T = TypeVar("T")

CONTENT_TYPE = "application/json"

Generation = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""Bounded as its column is: a greater one names no job, and Postgres would refuse to look for it."""
ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Traceparent = Annotated[str, Meta(max_length=256, pattern=r"^[^\x00]*$")]


class Render(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.render.v1"):
    """Asks a GPU consumer to look at a job, and to render it if Postgres lets it claim the job."""

    job_id: UUID
    generation: Generation
    model: ModelName
    traceparent: Traceparent
    """W3C Trace Context of the request that submitted the job."""


class Progress(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.progress.v1"):
    """A step of a running attempt; transient, for live views only."""

    job_id: UUID
    generation: int
    attempt: int
    step: int
    steps: int


class Preview(msgspec.Struct, frozen=True, tag_field="type", tag="darkroom.preview.v1"):
    """How a job's first picture looks after a step; transient, for live views only."""

    job_id: UUID
    generation: int
    attempt: int
    step: int
    width: int
    """Pixels of the preview."""
    height: int
    png: bytes
    """In base64."""


class UndecodableMessageError(ValueError):
    """The message can't be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The message can't be read: {reason}")
        self.reason = reason


_encoder = msgspec.json.Encoder()
# A tag is only required where it decides between several types: alone, each would decode without one.
_decoder: msgspec.json.Decoder[Render | Progress | Preview] = msgspec.json.Decoder(Render | Progress | Preview)


def encode(message: Render | Progress | Preview) -> bytes:
    return _encoder.encode(message)


def decode_progress(body: bytes) -> Progress:
    """Raises UndecodableMessageError for broken JSON, an unknown version, and missing or wrong fields."""
    return _decode_as(Progress, body)


def decode_preview(body: bytes) -> Preview:
    """Raises UndecodableMessageError as decode_progress does."""
    return _decode_as(Preview, body)


def decode_live(body: bytes) -> Progress | Preview:
    """What comes through the live events. Raises UndecodableMessageError as decode_progress does."""
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
    """The error for a message of another kind than the one that was asked for."""
    return UndecodableMessageError(f"{type(message).__name__} is not what is expected here")
