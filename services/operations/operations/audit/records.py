"""Where an entry stands in the audit log."""

from datetime import UTC, datetime
from typing import NamedTuple


class Position(NamedTuple):
    """Entries are ordered by time; those of one moment by their ids."""

    at: datetime
    id: int


NEWEST = Position(datetime.max.replace(tzinfo=UTC), 0)
"""After all entries."""
