"""What the database holds after a step, as values."""

from typing import Any
from uuid import UUID

import msgspec

Key = tuple[UUID, int]
"""A job in one of its generations."""

TERMINAL = ("succeeded", "failed", "canceled", "expired")


class Job(msgspec.Struct, frozen=True):
    id: UUID
    status: str
    version: int
    generation: int
    attempt: int
    max_attempts: int
    worker: str | None
    lease_token: UUID | None
    cancel_requested: bool
    expired: bool
    """Its time to wait is over, by the database's clock."""
    waiting: bool
    """A retry that is not due yet."""
    overdue: bool
    """The republish sweep may act on it."""
    lease_over: bool
    dead_lettered: bool
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

    def job(self, job_id: UUID) -> Job:
        return next(job for job in self.jobs if job.id == job_id)

    def publishable(self) -> list[OutboxRow]:
        """The outbox without what the relay drops: messages of jobs that are at their end or in another generation."""
        wanted = {job.key for job in self.having("queued", "running")}
        return [row for row in self.outbox if (row.job_id, row.generation) in wanted]

    def having(self, *statuses: str) -> list[Job]:
        return [job for job in self.jobs if job.status in statuses]
