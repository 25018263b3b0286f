"""Submissions and their outcomes."""

import hashlib
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from chassis.jobs.row import JobRow, UndecodableColumnError, UndecodableRow
from chassis.jobs.view import job_view
from darkroom_contracts.api import Job, JobInput
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent

TenantKey: TypeAlias = tuple[UUID, str]
"""A tenant's idempotency key."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies a request for a job among those that are repeated."""

    tenant_id: UUID
    idempotency_key: str | None = None
    body_hash: bytes | None = None

    @property
    def tenant_key(self) -> TenantKey | None:
        return None if self.idempotency_key is None else (self.tenant_id, self.idempotency_key)


class Submission(Request, frozen=True, kw_only=True):
    """A validated job that is to be recorded. The fields are the columns that `insert_jobs` reads."""

    id: UUID
    key_id: str | None = None
    user_id: str | None = None
    model: str
    input: JobInput
    metadata: dict[str, str]
    webhook_url: str | None
    webhook_events: tuple[WebhookEvent, ...]
    ttl_seconds: int
    deadline_seconds: int | None = None
    cost: int
    """Pixel steps: width x height x steps x images."""
    traceparent: str
    retried_from: UUID | None = None


class Acceptance(msgspec.Struct, frozen=True):
    """The values that the database adds when a submission becomes a job."""

    id: UUID
    created_at: datetime
    max_attempts: int


class RecordedJob(msgspec.Struct, frozen=True):
    """A job that the database has."""

    submission: Submission
    acceptance: Acceptance
    status: JobStatus


class DeletedJob(msgspec.Struct, frozen=True):
    """A job that was deleted."""


EarlierJob: TypeAlias = RecordedJob | DeletedJob | UndecodableRow
"""The job that was accepted under an idempotency key, decoded by itself."""


class Accepted(msgspec.Struct, frozen=True):
    """The outcome of a submission: the job as it was at acceptance."""

    job: Job
    replayed: bool = False


class KeyReused(msgspec.Struct, frozen=True):
    """The outcome of a submission whose idempotency key was used with another request."""


class Gone(msgspec.Struct, frozen=True):
    """The outcome of a submission whose idempotency key belongs to a deleted job."""


Outcome: TypeAlias = Accepted | KeyReused | Gone


def hash_body(body: bytes) -> bytes:
    """Return the hash that identifies a request among those with the same idempotency key."""
    return hashlib.sha256(body).digest()


def accepted_job(submission: Submission, acceptance: Acceptance) -> Job:
    """Return the job as it was when it was accepted, which is also the response to a repeated request."""
    return job_view(
        JobRow(
            id=acceptance.id,
            tenant_id=submission.tenant_id,
            model=submission.model,
            input=submission.input,
            created_at=acceptance.created_at,
            queued_at=acceptance.created_at,
            expires_at=acceptance.created_at + timedelta(seconds=submission.ttl_seconds),
            deadline_at=_after(acceptance.created_at, submission.deadline_seconds),
            max_attempts=acceptance.max_attempts,
            metadata=submission.metadata,
            user_id=submission.user_id,
            retried_from=submission.retried_from,
        )
    )


def _after(moment: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)


def replay(request: Request, recorded: EarlierJob) -> Outcome:
    """Return the outcome of a request whose idempotency key belongs to a job. Raises UndecodableColumnError."""
    if isinstance(recorded, UndecodableRow):
        raise UndecodableColumnError(recorded.column)
    if isinstance(recorded, DeletedJob):
        return Gone()
    if recorded.submission.body_hash != request.body_hash:
        return KeyReused()
    return Accepted(accepted_job(recorded.submission, recorded.acceptance), replayed=True)
