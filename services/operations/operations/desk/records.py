"""What the desk's statements take and return."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from darkroom_contracts.api.dead_letters import DeadLetter
from darkroom_contracts.states import JobStatus, LetterKind, LetterStatus


class Criteria(NamedTuple):
    """A filter of dead letters as the statements take it: with the tenant's id, and the rest as it was asked for."""

    kind: LetterKind | None = None
    model: str | None = None
    tenant_id: UUID | None = None
    reason: str | None = None
    fingerprint: str | None = None
    group_id: UUID | None = None
    worker: str | None = None
    job_id: UUID | None = None
    text: str | None = None
    named: UUID | None = None
    """The id of the letters, or of their job, delivery or group: a text that is an id."""


class Window(NamedTuple):
    """Which ids are looked at: since <= id < before."""

    since: UUID
    before: UUID


class Span(NamedTuple):
    """Which ids a step of a walk looks at: after < id < before."""

    after: UUID
    before: UUID


class Step(NamedTuple):
    """A step of a walk through a scope, the oldest letters first."""

    ids: list[UUID]
    """Those of the letters looked at that a bulk act is for."""
    last: UUID | None
    """Where the next step begins; None at the end."""
    left_out: Sequence[DeadLetter] = ()
    """Those that match, and that a bulk act leaves out unless they are named."""


class LetterState(msgspec.Struct, frozen=True):
    """What an act on a letter depends on."""

    id: UUID
    kind: LetterKind
    status: LetterStatus
    job_id: UUID | None
    delivery_id: UUID | None
    generation: int | None


class JobState(msgspec.Struct, frozen=True):
    """A letter's job as it is now."""

    status: JobStatus
    generation: int
    deleted: bool


class Discarded(msgspec.Struct, frozen=True):
    """Result of a bulk discard."""

    included: int
    """Open letters of the scope, before."""
    left_out: int
    discarded: int
