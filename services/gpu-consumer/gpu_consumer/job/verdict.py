"""The verdict on a message: what its job's row says about claiming the job."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages import RenderMessage, v2
from darkroom_contracts.states import JobStatus

Row = Mapping[str, Any]
_CODES = {str(code): code for code in JobErrorCode}


class Claimed(msgspec.Struct, frozen=True, tag="claimed"):
    """The job belongs to this worker until its lease runs out. The token fences every write."""

    job_id: UUID
    generation: int
    token: UUID
    attempt: int
    model: str
    input: bytes
    """darkroom_contracts.api.JobInput as JSON."""
    previous_error: JobErrorCode | None = None
    """Code of the failure before this attempt; None too for a code that this version does not know."""
    process_losses: int = 0
    """Render processes that earlier attempts of this generation lost."""
    deadline_seconds: float | None = None
    """Seconds left until the job's deadline."""


class NotDue(msgspec.Struct, frozen=True, tag="notdue"):
    """The job waits for its next attempt, which is due in `wait_ms`."""

    wait_ms: float


class Paused(msgspec.Struct, frozen=True, tag="paused"):
    """The model is paused: the message waits in a lane, and then in its queue."""


class Orphan(msgspec.Struct, frozen=True, tag="orphan"):
    """The database has no such job, though retention removed none of its age: it was restored from a backup."""


class Foreign(msgspec.Struct, frozen=True, tag="foreign"):
    """The database has no such job, and the message names another database."""


class DeadLettered(msgspec.Struct, frozen=True, tag="deadlettered"):
    """The job is dead in the message's generation: the message belongs among the dead letters."""


class Obsolete(msgspec.Struct, frozen=True, tag="obsolete"):
    """The message asks for nothing: its job runs, has ended, was replayed or deleted."""

    reason: str


class Unanswered(msgspec.Struct, frozen=True, tag="unanswered"):
    """The database did not answer in time, or the worker drains: the message goes back to its queue."""


class Settled(msgspec.Struct, frozen=True):
    """The outcome of the attempt is recorded; `status` is the job's."""

    status: JobStatus


Refusal = NotDue | Paused | DeadLettered | Orphan | Foreign | Obsolete
Verdict = Claimed | Refusal
Finding = Settled | Refusal | Unanswered
"""What decides about the message."""


def claimed_from(row: Row) -> Claimed:
    """Decode a row of the queries `claim` and `look`."""
    return Claimed(
        job_id=row["id"],
        generation=row["generation"],
        token=row["lease_token"],
        attempt=row["attempt"],
        model=row["model"],
        input=row["input"],
        previous_error=_CODES.get(row["previous_error"]),
        process_losses=row["process_losses"],
        deadline_seconds=row["deadline_seconds"],
    )


def judge(row: Row, message: RenderMessage, token: UUID | None = None) -> Verdict:
    """Return the verdict on a message whose job was not claimed, from the row of the query `look`.

    The job is Claimed all the same if `token` holds it: the answer to an earlier try of that claim was lost.
    """
    if row["id"] is None:
        return judge_absence(row, message)
    if row["generation"] != message.generation:
        return Obsolete("superseded")
    if token is not None and row["lease_token"] == token:
        return claimed_from(row)
    if row["dead_lettered"]:
        return DeadLettered()
    if row["status"] == JobStatus.QUEUED and row["waits"]:
        return NotDue(max(0.0, row["wait_ms"]))
    if row["status"] == JobStatus.QUEUED and row["paused"]:
        return Paused()
    return Obsolete(row["status"])


def judge_returned(row: Row, message: RenderMessage) -> Refusal:
    """Return the verdict on a message whose job was given back for another attempt. It is never claimed again here."""
    if row["status"] == JobStatus.QUEUED and row["generation"] == message.generation:
        return NotDue(max(0.0, row["wait_ms"] or 0.0))
    verdict = judge(row, message)
    assert not isinstance(verdict, Claimed)  # without a token nothing is
    return verdict


def judge_absence(row: Row, message: RenderMessage) -> Refusal:
    """Return the verdict on a message whose job does not exist."""
    if isinstance(message, v2.Render) and message.instance_id != row["instance_id"]:
        return Foreign()
    return Obsolete("purged") if row["purged"] else Orphan()
