"""Rows that decide on a replay, and the job that an orphan's replay makes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobInput
from darkroom_contracts.states import DeliveryStatus, EndpointStatus, JobStatus, LetterKind, LetterStatus
from darkroom_contracts.webhooks import WebhookEvent


class JobLetter(msgspec.Struct, frozen=True):
    """The dead letter of a job that failed in `generation`."""

    id: UUID
    job_id: UUID
    generation: int


class OrphanLetter(msgspec.Struct, frozen=True):
    """The dead letter of a message whose job this database does not know."""

    id: UUID
    job_id: UUID
    body: bytes


class UndecodableLetter(msgspec.Struct, frozen=True):
    """The dead letter of a message that can't be decoded."""

    id: UUID


class WebhookLetter(msgspec.Struct, frozen=True):
    """The dead letter of a webhook delivery that was given up."""

    id: UUID
    delivery_id: UUID


Candidate = JobLetter | OrphanLetter | UndecodableLetter | WebhookLetter
"""A dead letter that is to be replayed, read without a lock."""


class LockedJob(msgspec.Struct, frozen=True):
    """The state of a dead letter's job."""

    status: JobStatus
    generation: int
    deleted: bool


class EditableJob(msgspec.Struct, frozen=True):
    """What an edit changes of a job."""

    model: str
    """As submitted."""
    input: JobInput
    """As submitted."""
    overrides: dict[str, Any] | None
    """Of earlier edits, which stay unless a later one replaces them."""


class EditedJob(msgspec.Struct, frozen=True):
    """The columns of a job that an edit changes."""

    overrides: dict[str, Any] | None
    """None without an edit."""
    cost: int
    """Pixel steps of the edited input."""


class LockedDelivery(msgspec.Struct, frozen=True):
    """The state of a dead letter's delivery, and of its endpoint."""

    status: DeliveryStatus
    in_flight: bool
    """Whether an attempt of it is being sent."""
    endpoint_status: EndpointStatus
    endpoint_deleted: bool
    disabled_reason: str | None


class NewestOrphan(msgspec.Struct, frozen=True):
    """The orphan letter of an unknown job's latest generation."""

    id: UUID
    generation: int
    latest: int
    """The highest generation in any dead letter of the job."""


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
    overrides: dict[str, Any] | None
    """An operator's edit."""
    cost: int
    generation: int
    created_at: datetime
    ttl_seconds: int
    deadline_seconds: int | None


class Outlook(msgspec.Struct, frozen=True):
    """A dead letter as a replay would find it, without locks and without its message."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    job_id: UUID | None
    letter: JobLetter | WebhookLetter | None
    """None for an orphan or an undecodable message."""
    job: LockedJob | None
    columns: Mapping[str, Any]
    """The job's model, input and earlier edits, still encoded."""
    delivery: LockedDelivery | None
