"""Replay a dead letter.

A job is queued again, or made again from its message if the database does not know it; a webhook delivery is due again.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chassis.jobs.row import UndecodableColumnError
from chassis.postgres import Connection, Database
from chassis.targets import Policy
from darkroom_contracts.api.replays import ReplayEdit
from darkroom_contracts.states import JobStatus, LetterStatus
from operations.audit import log as audit
from operations.errors import UnknownLetterError
from operations.replays import store
from operations.replays.edits import PUBLIC_TARGETS, Bounds, CatalogueLoader, edit_job
from operations.replays.orphans import revive
from operations.replays.outcome import Redelivered, Replayed, ReplayRefusedError, UnfitEditError, Verdict
from operations.replays.records import EditedJob, JobLetter, LockedJob, OrphanLetter, UndecodableLetter, WebhookLetter
from operations.replays.redelivery import redeliver
from operations.retention import objects


async def replay(
    database: Database,
    letter_id: UUID,
    actor: str,
    catalogue: CatalogueLoader,
    webhook_targets: Policy = PUBLIC_TARGETS,
    *,
    edit: ReplayEdit | None = None,
    reason: str | None = None,
) -> Replayed | Redelivered:
    """Queue the job of an open dead letter again: in its next generation, with no attempts and a new time to live.

    An edit is kept in the job's overrides. An orphan's job is made again from its message, within the bounds of the
    current catalogue and webhook targets. A webhook delivery becomes due, and its schedule begins again. A second
    replay of a letter raises ReplayRefusedError. Raises UnknownLetterError and what `catalogue` raises.
    """
    bounds = Bounds(catalogue, webhook_targets)
    async with database.transaction() as connection:
        replayed = await replay_letter(connection, letter_id, bounds, edit)
        await audit.record(
            connection, actor, audit.Action.REPLAY, letter_id, reason=reason, after=_after(replayed, edit)
        )
    return replayed


async def replay_letter(
    connection: Connection, letter_id: UUID, bounds: Bounds, edit: ReplayEdit | None
) -> Replayed | Redelivered:
    """Replay a dead letter in the caller's transaction, to be rolled back if this raises what replay() raises."""
    match await store.find_candidate(connection, letter_id):
        case JobLetter() as letter:
            return await _requeue(connection, letter, bounds, edit)
        case OrphanLetter() as letter:
            return await revive(connection, letter, bounds, edit)
        case WebhookLetter() as letter:
            refuse_edit_of_webhook(edit)
            return await redeliver(connection, letter)
        case UndecodableLetter():
            raise undecodable()
        case None:
            raise UnknownLetterError(letter_id)


def undecodable() -> ReplayRefusedError:
    """Return the refusal of a message that can't be decoded."""
    return ReplayRefusedError(
        Verdict.UNDECODABLE,
        "The message can't be decoded, so there is no job to replay; fix the program that sent it.",
    )


def refuse_edit_of_webhook(edit: ReplayEdit | None) -> None:
    """Raise UnfitEditError if there is an edit."""
    if edit is not None:
        raise UnfitEditError("A webhook is sent again as it was; replay it without an edit.")


def check_job(letter: JobLetter, job: LockedJob | None, status: LetterStatus | None) -> None:
    """Raise ReplayRefusedError unless the letter is open and its job as the letter left it."""
    if job is None or job.deleted:
        raise ReplayRefusedError(Verdict.DELETED, "The job of this dead letter was deleted.")
    state = f"job {letter.job_id} is {job.status} in generation {job.generation}"
    if status is LetterStatus.DISCARDED:
        raise ReplayRefusedError(Verdict.DISCARDED, f"The dead letter is closed: it was discarded; {state}.")
    if status is not LetterStatus.OPEN:
        raise ReplayRefusedError(Verdict.REPLAYED, f"The dead letter was replayed already: {state}.")
    if (job.status, job.generation) != (JobStatus.FAILED, letter.generation):
        raise ReplayRefusedError(
            Verdict.MOVED_ON, f"The job has moved on: {state}, not failed in generation {letter.generation}."
        )


async def _requeue(connection: Connection, letter: JobLetter, bounds: Bounds, edit: ReplayEdit | None) -> Replayed:
    job = await store.lock_job(connection, letter.job_id)
    status = await store.lock_letter(connection, letter.id)
    check_job(letter, job, status)
    changes = edited(await store.find_editable(connection, letter.job_id), bounds, edit) if edit else None
    if await objects.cancel_sweep(connection, letter.job_id):
        raise ReplayRefusedError(
            Verdict.BUSY,
            f"Objects that lost attempts of job {letter.job_id} stored are being removed; try again in five minutes.",
        )
    renewed = await store.requeue_dead_job(connection, letter, changes)
    if renewed is None:
        raise ReplayRefusedError(Verdict.BUSY, f"Job {letter.job_id} changed during the replay; look at it again.")
    return Replayed(letter.id, letter.job_id, renewed)


def edited(row: Mapping[str, Any], bounds: Bounds, edit: ReplayEdit) -> EditedJob:
    """Return the columns of an edited job, from its row's model, input and earlier edits. Raises UnfitEditError."""
    try:
        job = store.decode_editable(row)
    except UndecodableColumnError as error:
        raise UnfitEditError(f"The job can't be edited: {error}") from error
    return edit_job(edit, job, bounds.catalogue())


def _after(replayed: Replayed | Redelivered, edit: ReplayEdit | None) -> dict[str, object]:
    match replayed:
        case Replayed(job_id=job_id, generation=generation):
            return {"job_id": job_id, "generation": generation, "edit": edit}
        case Redelivered(delivery_id=delivery_id):
            return {"delivery_id": delivery_id}
