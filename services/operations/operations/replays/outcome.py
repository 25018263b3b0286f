"""The outcomes of a replay."""

from uuid import UUID

import msgspec

from operations.errors import ConflictError


class Replayed(msgspec.Struct, frozen=True):
    """The job is queued again."""

    dead_letter_id: UUID
    job_id: UUID
    generation: int
    """The job's new generation."""


class Redelivered(msgspec.Struct, frozen=True):
    """The webhook delivery is due again, under its old id, and its schedule begins again."""

    dead_letter_id: UUID
    delivery_id: UUID
    endpoint_paused: bool
    """Whether it waits until its endpoint is resumed."""


class ReplayRefusedError(ConflictError):
    """The dead letter can't be replayed, or not again. Nothing was changed."""
