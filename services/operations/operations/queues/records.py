"""How the queues stood at a moment."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from darkroom_contracts.api.queues import Pause


class Depth(msgspec.Struct, frozen=True):
    """Messages of a queue of RabbitMQ; None for what its source does not know."""

    ready: int | None = None
    unacknowledged: int | None = None
    dead_lettering: int | None = None


class Depths(Protocol):
    """A source of the depths of RabbitMQ's queues."""

    async def read(self, queues: Sequence[str]) -> dict[str, Depth]:
        """Return the depths of those queues that exist. Raises UnavailableError."""
        ...


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What waits and runs by the database; each count stops at a bound."""

    queued: dict[str, int]
    """By model."""
    in_flight: dict[str, int]
    oldest: dict[str, datetime]
    """Since when the oldest queued job waits, by model."""
    outbox_messages: int
    outbox_overdue_seconds: float
    open_letters: dict[str, int]
    """By kind."""
    letters_by_code: dict[tuple[str, str, str], int]
    """By kind, model and code, a moment later than `open_letters`: groups are folded in the background."""
    taken_at: datetime


class Sample(msgspec.Struct, frozen=True):
    """The counts, and the depths unless RabbitMQ did not answer."""

    counts: Counts
    depths: dict[str, Depth] | None


class Standing(msgspec.Struct, frozen=True):
    """What is cheap enough to be read for each request."""

    pauses: dict[str, Pause]
    """By model."""
    workers: dict[str, int]
    """Open sessions by model."""
