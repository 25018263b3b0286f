"""Rows as operations shows and passes them on."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobError, JobInput, Scope
from darkroom_contracts.webhooks import WebhookEvent

SWEEP_HOLD = timedelta(minutes=5)
"""For how long a sweep of a job's objects may be under way once it is claimed."""


class AppliedMigration(msgspec.Struct, frozen=True):
    version: int
    name: str
    sha256: str


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as it may be shown: never its secret."""

    id: str
    scope: Scope
    name: str
    tenant: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class LetterSummary(msgspec.Struct, frozen=True):
    """A dead letter in a list."""

    id: UUID
    kind: str
    """`job`; `orphan` for a message whose job this database does not know; `undecodable` for one that can't be read."""
    status: str
    """open, replaying (its job waits or runs again), replayed (that job ended) or discarded."""
    job_id: UUID | None
    generation: int | None
    model: str | None
    reason: str
    message: str
    fingerprint: str
    """Equal for failures of one kind."""
    created_at: datetime
    resolved_at: datetime | None


class AttemptRecord(msgspec.Struct, frozen=True):
    """One claim of the job; a released attempt is refunded, so its number may come again."""

    generation: int
    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: msgspec.Raw | None


class Letter(msgspec.Struct, frozen=True):
    """A dead letter with all that is known of it."""

    id: UUID
    kind: str
    status: str
    job_id: UUID | None
    job_status: str | None
    job_generation: int | None
    tenant: str | None
    generation: int | None
    model: str | None
    reason: str
    error: msgspec.Raw
    fingerprint: str
    body: bytes | None
    """The message's exact bytes; base64 in JSON."""
    body_text: str | None
    """The same for people, where it is UTF-8."""
    headers: msgspec.Raw | None
    x_death: msgspec.Raw | None
    """What the broker recorded of the message's death."""
    created_at: datetime
    resolved_at: datetime | None
    attempts: list[AttemptRecord]


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A dead message whose job this database does not know, as its letter keeps it."""

    job_id: UUID
    tenant_id: UUID | None
    """Kept where there is such a tenant."""
    generation: int
    model: str
    error: JobError
    body: bytes
    headers: Any
    x_death: Any


class ReplayCandidate(msgspec.Struct, frozen=True):
    """A dead letter that is to be replayed; nothing of it is locked yet."""

    kind: str
    job_id: UUID | None
    generation: int | None
    body: bytes | None


class LockedJob(msgspec.Struct, frozen=True):
    """What decides whether a dead letter's job may be replayed."""

    status: str
    generation: int
    deleted: bool


class NewestOrphan(msgspec.Struct, frozen=True):
    """The letter of an unknown job's latest generation."""

    id: UUID
    generation: int
    latest: int
    """The highest generation that any dead letter of the job names."""


class RevivedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job made again from its message. The fields are the columns that `revive_job` reads, and its key's."""

    id: UUID
    tenant_id: UUID
    key_id: str | None
    user_id: str | None
    model: str
    input: JobInput
    metadata: dict[str, str]
    webhook_url: str | None
    webhook_events: tuple[WebhookEvent, ...]
    traceparent: str
    retried_from: UUID | None
    idempotency_key: str | None
    body_hash: bytes | None
    priority: int
    cost: int
    generation: int
    created_at: datetime
    ttl_seconds: int
    deadline_seconds: int | None
