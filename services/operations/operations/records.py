"""Rows as operations shows and passes them on."""

from datetime import datetime
from uuid import UUID

import msgspec

from contracts.api import Scope


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
    """`job`, or `undecodable` for a message that could not be read."""
    status: str
    """open, replaying (its job waits or runs again) or replayed (that job ended)."""
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


class ReplayCandidate(msgspec.Struct, frozen=True):
    """A dead letter under lock, with what decides whether it may be replayed."""

    kind: str
    status: str
    generation: int | None
    job_id: UUID | None
    job_status: str | None
    job_generation: int | None
