"""What the use cases of keys pass to the store."""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID


class Expiry(NamedTuple):
    """How many keys of a scope need an operator's attention."""

    expiring: int
    """Those that work, expire soon and have no successor."""
    expired_in_use: int
    """Those that expired, and that somebody sent lately."""


class Position(NamedTuple):
    """A place in the walk of queued jobs, which are ordered by queue and time."""

    queue: str
    queued_at: datetime
    id: UUID


START = Position("", datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))


class Walked(NamedTuple):
    """A step of the walk."""

    found: int
    """Jobs of the keys, those included that somebody else holds locked."""
    canceled: int
    last: Position | None
    """Where the step ended; None at the end of the walk."""
