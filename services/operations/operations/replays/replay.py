"""Replay a dead letter: its job is queued again, or made again from its message if the database does not know it."""

from uuid import UUID

from chassis.postgres import Connection, Database
from darkroom_contracts.states import JobStatus
from operations.audit import log as audit
from operations.letters.inspection import UnknownLetterError
from operations.letters.records import LetterKind, LetterStatus
from operations.replays import store
from operations.replays.orphans import CatalogueLoader, revive
from operations.replays.outcome import Replayed, ReplayRefusedError
from operations.replays.records import LockedJob, ReplayCandidate
from operations.retention import objects


async def replay(database: Database, letter_id: UUID, actor: str, catalogue: CatalogueLoader) -> Replayed:
    """Queue the job of an open dead letter again: in its next generation, with no attempts and a new time to live.

    An orphan's job is made again from its message, within the bounds of the current catalogue. A second replay of a
    letter raises ReplayRefusedError. Raises UnknownLetterError and what `catalogue` raises.
    """
    async with database.transaction() as connection:
        letter = await store.find_candidate(connection, letter_id)
        if letter is None:
            raise UnknownLetterError(letter_id)
        match letter.kind:
            case LetterKind.JOB:
                replayed = await _requeue(connection, letter_id, letter)
            case LetterKind.ORPHAN:
                replayed = await revive(connection, letter_id, letter, catalogue)
            case LetterKind.UNDECODABLE:
                raise ReplayRefusedError(
                    "The message could not be read, so there is no job to replay; mend what sent it."
                )
        await audit.record(connection, actor, audit.Action.REPLAY, letter_id)
    return replayed


async def _requeue(connection: Connection, letter_id: UUID, letter: ReplayCandidate) -> Replayed:
    assert letter.job_id is not None
    assert letter.generation is not None
    job = await store.lock_job(connection, letter.job_id)
    status = await store.lock_letter(connection, letter_id)
    _check_replayable(letter, job, status)
    if await objects.cancel_sweep(connection, letter.job_id):
        raise ReplayRefusedError(
            f"What lost attempts of job {letter.job_id} left in the object store is being removed; try again in five"
            " minutes."
        )
    renewed = await store.requeue_dead_job(connection, letter.job_id, letter.generation)
    if renewed is None:
        raise ReplayRefusedError(f"Job {letter.job_id} changed while it was to be replayed; look at it again.")
    await store.mark_replaying(connection, letter_id)
    return Replayed(letter_id, letter.job_id, renewed)


def _check_replayable(letter: ReplayCandidate, job: LockedJob | None, status: LetterStatus | None) -> None:
    if job is None or job.deleted:
        raise ReplayRefusedError("The job of this dead letter was deleted.")
    if status is not LetterStatus.OPEN:
        raise ReplayRefusedError(
            f"It was replayed already: job {letter.job_id} is {job.status} in generation {job.generation}."
        )
    if (job.status, job.generation) != (JobStatus.FAILED, letter.generation):
        raise ReplayRefusedError(
            f"Job {letter.job_id} is {job.status} in generation {job.generation}, not failed in generation"
            f" {letter.generation}."
        )
