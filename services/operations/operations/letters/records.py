"""Dead letters as they are stored and shown."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobError
from darkroom_contracts.states import AttemptOutcome, JobStatus


class LetterKind(StrEnum):
    JOB = "job"
    """The job failed for good."""
    ORPHAN = "orphan"
    """The message of a job that this database does not know."""
    UNDECODABLE = "undecodable"
    """A message that can't be decoded."""


class LetterStatus(StrEnum):
    OPEN = "open"
    REPLAYING = "replaying"
    """Its job is queued or running again."""
    REPLAYED = "replayed"
    """The replayed job has ended."""
    DISCARDED = "discarded"


class LetterSummary(msgspec.Struct, frozen=True):
    """A dead letter in a list."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    job_id: UUID | None
    generation: int | None
    model: str | None
    reason: str
    """A JobErrorCode, or a code that a later version added."""
    message: str
    fingerprint: str
    """Equal for failures of the same kind."""
    created_at: datetime
    resolved_at: datetime | None


class AttemptRecord(msgspec.Struct, frozen=True):
    """An attempt of a job. A refunded attempt's number occurs again."""

    generation: int
    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome | None
    error: msgspec.Raw | None


class Letter(msgspec.Struct, frozen=True):
    """A dead letter with its message and every attempt of its job."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    job_id: UUID | None
    job_status: JobStatus | None
    job_generation: int | None
    tenant: str | None
    generation: int | None
    model: str | None
    reason: str
    error: msgspec.Raw
    fingerprint: str
    body: bytes | None
    """The exact bytes of the message; base64 in JSON."""
    body_text: str | None
    """The same as text, if it is UTF-8."""
    headers: msgspec.Raw | None
    x_death: msgspec.Raw | None
    """The broker's record of the message's death."""
    created_at: datetime
    resolved_at: datetime | None
    attempts: list[AttemptRecord]


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """The message of a job that this database does not know, to be recorded."""

    job_id: UUID
    tenant_id: UUID | None
    """Recorded only if the tenant exists."""
    generation: int
    model: str
    error: JobError
    body: bytes
    headers: Any
    x_death: Any
