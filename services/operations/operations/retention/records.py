"""Positions and results of retention's passes, and the sweeps of objects."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

FIRST_ID = UUID(int=0)


class AttemptPosition(msgspec.Struct, frozen=True):
    """The last attempt that a pass has visited."""

    started_at: datetime = datetime(1, 1, 2, tzinfo=UTC)
    lease_token: UUID = FIRST_ID


class Batch(msgspec.Struct, frozen=True):
    """The rows that a step of a pass visited, and how many of them it removed."""

    visited: int
    removed: int


class ObjectSweep(msgspec.Struct, frozen=True):
    """A job whose objects are to be swept, claimed until `due_at`."""

    job_id: UUID
    due_at: datetime
    gone: bool
    """The job was deleted or purged, so that none of its objects is kept."""
    ended: bool
    stayed_empty: bool
    """No object was found for an hour."""
    outputs: bytes | None
    """What the job's record lists, still encoded."""
