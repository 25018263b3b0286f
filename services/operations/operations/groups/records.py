"""Groups of dead letters as they are stored and read."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from chassis.cursor import NEWEST


class Position(msgspec.Struct, frozen=True):
    """Where a group stands in the list: groups with open letters first, then by the time of their newest letter."""

    is_open: bool
    seen_at: datetime
    id: UUID


FIRST = Position(True, datetime.max.replace(tzinfo=UTC), NEWEST)
"""Before all groups."""
FIRST_CLOSED = Position(False, FIRST.seen_at, FIRST.id)
"""Before all groups without open letters."""


class FoldedGroup(msgspec.Struct, frozen=True):
    """A group that a folding made, or left without open letters."""

    id: UUID
    kind: str
    model: str | None
    reason: str
    message: str | None


class Folded(msgspec.Struct, frozen=True):
    """What a folding did."""

    taken: int
    """Deltas that were moved into groups."""
    made: list[FoldedGroup]
    closed: list[FoldedGroup]


class Note(msgspec.Struct, frozen=True):
    """A note as the audit log shows it."""

    text: str | None
    by: str | None
    known_until: datetime | None


class PropertyCount(msgspec.Struct, frozen=True):
    """How many letters have a property."""

    kind: str
    value: str
    letters: int
    first_seen_at: datetime
    last_seen_at: datetime


class Examined(msgspec.Struct, frozen=True):
    """The letters of a group that were examined."""

    letters: int
    hours: list[datetime]
    """The hours in which there are any, in UTC."""
    properties: list[PropertyCount]


class Sample(msgspec.Struct, frozen=True):
    """Attempts to compare letters with."""

    attempts: int
    counts: dict[tuple[str, str], int]
    """How many of them have a property: by its kind and value."""
