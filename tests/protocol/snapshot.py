"""What the database holds after a step, as values."""

from typing import Any
from uuid import UUID

import msgspec

Key = tuple[UUID, int]
"""A job in one of its generations."""

TERMINAL = ("succeeded", "failed", "canceled", "expired")


def milliseconds_of(job_id: UUID) -> int:
    """Return when a job's id was made, in milliseconds since 1970 (UUIDv7)."""
    return job_id.int >> 80


class Job(msgspec.Struct, frozen=True):
    id: UUID
    status: str
    version: int
    generation: int
    attempt: int
    max_attempts: int
    refunds: int
    worker: str | None
    lease_token: UUID | None
    cancel_requested: bool
    expired: bool
    """Its time to wait, or its deadline, is over by the database's clock."""
    waiting: bool
    """A retry that is not due yet."""
    lease_over: bool
    dead_lettered: bool
    deadline: bool
    """Whether it has one."""
    too_late: bool
    """Its retry falls due after its deadline."""
    deleted: bool
    error: Any
    outputs: Any
    step: int | None
    wanted_events: tuple[str, ...]

    @property
    def key(self) -> Key:
        return self.id, self.generation


class OutboxRow(msgspec.Struct, frozen=True):
    job_id: UUID
    generation: int
    lane: str | None
    failures: int


class Attempt(msgspec.Struct, frozen=True):
    lease_token: UUID
    job_id: UUID
    generation: int
    attempt: int
    worker: str
    outcome: str | None
    refunded: bool


class Letter(msgspec.Struct, frozen=True):
    id: UUID
    kind: str
    status: str
    job_id: UUID | None
    generation: int | None
    reason: str
    has_body: bool
    has_x_death: bool


class Delivery(msgspec.Struct, frozen=True):
    job_id: UUID
    event: str
    job_version: int


class Change(msgspec.Struct, frozen=True):
    """A line of the ledger. `old_status` is null for the job's arrival."""

    job_id: UUID
    generation: int
    version: int
    old_status: str | None
    status: str
    lease_token: UUID | None
    cancel_requested: bool

    @property
    def key(self) -> Key:
        return self.job_id, self.generation

    @property
    def ends_the_job(self) -> bool:
        return self.status in TERMINAL


class Snapshot(msgspec.Struct, frozen=True):
    jobs: tuple[Job, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    letters: tuple[Letter, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    ledger: tuple[Change, ...] = ()
    keys: dict[str, UUID] = {}
    """Idempotency-Keys, and the jobs that they stand for."""
    paused: bool = False
    purged_before_ms: int = 0
    lost: tuple[UUID, ...] = ()
    """Queued jobs whose messages are shown to be lost."""
    perhaps_lost: tuple[UUID, ...] = ()
    """These, and those of which that depends on how old exactly a proof is."""

    @property
    def state(self) -> "Snapshot":
        """All but what follows from times."""
        return msgspec.structs.replace(self, lost=(), perhaps_lost=())

    def find(self, job_id: UUID) -> Job | None:
        return next((job for job in self.jobs if job.id == job_id), None)

    def job(self, job_id: UUID) -> Job:
        job = self.find(job_id)
        assert job is not None, job_id
        return job

    def is_purged(self, job_id: UUID) -> bool:
        """Whether the job's id lies before the line of retention."""
        return milliseconds_of(job_id) < self.purged_before_ms

    def publishable(self) -> list[OutboxRow]:
        """Return the outbox without rows that the relay drops, of ended jobs and other generations."""
        wanted = {job.key for job in self.having("queued", "running")}
        return [row for row in self.outbox if (row.job_id, row.generation) in wanted]

    def having(self, *statuses: str) -> list[Job]:
        return [job for job in self.jobs if job.status in statuses]
