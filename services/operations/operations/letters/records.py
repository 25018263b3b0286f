"""What the ingest records."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobError


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
