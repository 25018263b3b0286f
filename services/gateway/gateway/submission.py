"""What the gateway records of a request, and what becomes of it."""

import hashlib
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from darkroom_contracts.api import Job, JobInput
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent

TenantKey: TypeAlias = tuple[UUID, str]
"""A tenant's idempotency key."""


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A validated job on its way into the database. The fields are the columns that `insert_jobs` reads."""

    id: UUID
    tenant_id: UUID
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
    idempotency_key: str | None = None
    body_hash: bytes | None = None

    @property
    def tenant_key(self) -> TenantKey | None:
        return None if self.idempotency_key is None else (self.tenant_id, self.idempotency_key)


class Acceptance(msgspec.Struct, frozen=True):
    """What the database adds to a submission when it becomes a job."""

    id: UUID
    created_at: datetime
    max_attempts: int


class RecordedJob(msgspec.Struct, frozen=True):
    """A job that is in the database already."""

    submission: Submission
    acceptance: Acceptance
    status: JobStatus


class DeletedJob(msgspec.Struct, frozen=True):
    """A job of which the database holds no more than that it was deleted."""


class Accepted(msgspec.Struct, frozen=True):
    """The outcome of a submission: the job as it was at acceptance."""

    job: Job
    replayed: bool = False


class KeyReused(msgspec.Struct, frozen=True):
    """The outcome of a submission whose idempotency key stands for another request."""


class Gone(msgspec.Struct, frozen=True):
    """The outcome of a submission whose idempotency key stands for a job that was deleted."""


Outcome = Accepted | KeyReused | Gone


def hash_body(body: bytes) -> bytes:
    """Tells whether two requests under one idempotency key are the same."""
    return hashlib.sha256(body).digest()


def accepted_job(submission: Submission, acceptance: Acceptance) -> Job:
    """The job as it is answered at its acceptance, and again to whoever repeats the request."""
    return Job(
        id=acceptance.id,
        status=JobStatus.QUEUED,
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
        urls=job_urls(acceptance.id),
    )


def _after(moment: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)


def replay(submission: Submission, recorded: RecordedJob | DeletedJob) -> Outcome:
    """Return what to answer when the submission's idempotency key stands for a recorded job."""
    if isinstance(recorded, DeletedJob):
        return Gone()
    if recorded.submission.body_hash != submission.body_hash:
        return KeyReused()
    return Accepted(accepted_job(recorded.submission, recorded.acceptance), replayed=True)
