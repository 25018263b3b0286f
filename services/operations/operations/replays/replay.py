"""Replay a dead letter.

A job is queued again, or made again from its message if the database does not know it; a webhook delivery is due again.
"""

from uuid import UUID

from chassis.postgres import Connection, Database
from chassis.targets import Policy
from darkroom_contracts.states import JobStatus
from operations.audit import log as audit
from operations.letters.inspection import UnknownLetterError
from operations.letters.records import LetterStatus
from operations.replays import store
from operations.replays.orphans import CatalogueLoader, revive
from operations.replays.outcome import Redelivered, Replayed, ReplayRefusedError
from operations.replays.records import JobLetter, LockedJob, OrphanLetter, UndecodableLetter, WebhookLetter
from operations.replays.redelivery import redeliver
from operations.retention import objects

PUBLIC_TARGETS = Policy()


async def replay(
    database: Database,
    letter_id: UUID,
    actor: str,
    catalogue: CatalogueLoader,
    webhook_targets: Policy = PUBLIC_TARGETS,
) -> Replayed | Redelivered:
    """Queue the job of an open dead letter again: in its next generation, with no attempts and a new time to live.

    An orphan's job is made again from its message, within the bounds of the current catalogue and of
    `webhook_targets`. A webhook delivery becomes due, and its schedule begins again. A second replay of a letter raises
    ReplayRefusedError. Raises UnknownLetterError and what `catalogue` raises.
    """
    async with database.transaction() as connection:
        letter = await store.find_candidate(connection, letter_id)
        replayed: Replayed | Redelivered
        match letter:
            case JobLetter():
                replayed = await _requeue(connection, letter)
            case OrphanLetter():
                replayed = await revive(connection, letter, catalogue, webhook_targets)
            case WebhookLetter():
                replayed = await redeliver(connection, letter)
            case UndecodableLetter():
                raise ReplayRefusedError(
                    "The message can't be decoded, so there is no job to replay; fix the program that sent it."
                )
            case None:
                raise UnknownLetterError(letter_id)
        await audit.record(connection, actor, audit.Action.REPLAY, letter_id)
    return replayed


async def _requeue(connection: Connection, letter: JobLetter) -> Replayed:
    job = await store.lock_job(connection, letter.job_id)
    status = await store.lock_letter(connection, letter.id)
    _check_replayable(letter, job, status)
    if await objects.cancel_sweep(connection, letter.job_id):
        raise ReplayRefusedError(
            f"Objects that lost attempts of job {letter.job_id} stored are being removed; try again in five minutes."
        )
    renewed = await store.requeue_dead_job(connection, letter.job_id, letter.generation)
    if renewed is None:
        raise ReplayRefusedError(f"Job {letter.job_id} changed during the replay; look at it again.")
    await store.mark_replaying(connection, letter.id)
    return Replayed(letter.id, letter.job_id, renewed)


def _check_replayable(letter: JobLetter, job: LockedJob | None, status: LetterStatus | None) -> None:
    if job is None or job.deleted:
        raise ReplayRefusedError("The job of this dead letter was deleted.")
    state = f"job {letter.job_id} is {job.status} in generation {job.generation}"
    if status is not LetterStatus.OPEN:
        raise ReplayRefusedError(f"The dead letter was replayed already: {state}.")
    if (job.status, job.generation) != (JobStatus.FAILED, letter.generation):
        raise ReplayRefusedError(f"The job has moved on: {state}, not failed in generation {letter.generation}.")
