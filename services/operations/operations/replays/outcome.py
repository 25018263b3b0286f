"""The two outcomes of a replay."""

from uuid import UUID

import msgspec

from operations.errors import ConflictError


class Replayed(msgspec.Struct, frozen=True):
    """The job is queued again."""

    dead_letter_id: UUID
    job_id: UUID
    generation: int
    """The job's new generation."""


class ReplayRefusedError(ConflictError):
    """The dead letter can't be replayed, or not again. Nothing was changed."""
