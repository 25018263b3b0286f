"""A worker's session as it was found."""

from datetime import datetime
from uuid import UUID

import msgspec

from darkroom_contracts.api.workers import WorkerJob


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session, or the last one of a worker that was lost."""

    id: UUID
    worker: str
    model: str
    device: str | None
    gpu_id: str | None
    model_revision: str | None
    versions: dict[str, str]
    memory_bytes: int | None
    started_at: datetime
    last_beat_at: datetime
    drain_requested_at: datetime | None
    silent_seconds: float | None = None
    """Since its last heartbeat; None if the worker is lost."""
    paused: bool = False
    """Whether its model is paused."""
    jobs: tuple[WorkerJob, ...] = ()


class Tally(msgspec.Struct, frozen=True):
    """How the attempts of a worker ended lately."""

    outcomes: dict[str, int]
    errors: dict[str, int]
