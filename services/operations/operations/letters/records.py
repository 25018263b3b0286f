"""Dead letters as they are stored and shown."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobError
from darkroom_contracts.states import (
    AttemptOutcome,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointStatus,
    JobStatus,
    LetterKind,
    LetterStatus,
)

__all__ = [
    "AttemptRecord",
    "Delivery",
    "DeliveryAttempt",
    "Letter",
    "LetterKind",
    "LetterStatus",
    "LetterSummary",
    "NamedJob",
    "Orphan",
    "Undecodable",
]


class LetterSummary(msgspec.Struct, frozen=True):
    """A dead letter in a list."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    tenant: str | None
    job_id: UUID | None
    generation: int | None
    delivery_id: UUID | None
    model: str | None
    reason: str
    """A JobErrorCode, `webhook_exhausted`, or a code that a later version added."""
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


class DeliveryAttempt(msgspec.Struct, frozen=True):
    """An attempt of a webhook delivery. Durations in milliseconds."""

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: DeliveryOutcome | None
    status_code: int | None
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    total_ms: float | None
    error: str | None
    response: bytes | None
    """The beginning of the body that the receiver answered with; base64 in JSON."""


class Delivery(msgspec.Struct, frozen=True):
    """The webhook delivery of a dead letter."""

    id: UUID
    endpoint_id: UUID
    endpoint_status: EndpointStatus | None
    """None if the endpoint was removed."""
    endpoint_deleted: bool
    event: str
    url: str
    status: DeliveryStatus
    next_attempt_at: datetime | None
    attempt: int
    """Number of its latest attempt."""
    attempts: list[DeliveryAttempt]
    """The latest attempts, the oldest first."""


class Letter(msgspec.Struct, frozen=True):
    """A dead letter with its message and every attempt of its job, or with its webhook delivery."""

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
    """Of the job; empty for the letter of a webhook delivery."""
    delivery_id: UUID | None
    delivery: Delivery | None
    """None if retention removed it, or if the letter is not a webhook delivery's."""


class NamedJob(NamedTuple):
    """The job that a message names."""

    job_id: UUID
    generation: int
    tenant_id: UUID | None
    """None in messages of version 1."""


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """The message of a job that this database does not know, to be recorded."""

    job_id: UUID
    tenant_id: UUID | None
    """Recorded only if the tenant exists."""
    generation: int
    model: str
    body: bytes
    headers: dict[str, Any]


class Undecodable(msgspec.Struct, frozen=True):
    """A message that leads to no job, to be recorded."""

    error: JobError
    body: bytes
    headers: dict[str, Any]
