"""Replay: a dead job is given another life, and one of which only the message is left is made again from that.

The job is locked before its letters, as by whoever finishes or deletes it.
"""

from collections.abc import Callable
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database
from darkroom_contracts.models import Catalogue
from darkroom_contracts.states import JobStatus
from operations import store
from operations.letters import UnknownLetterError
from operations.orphans import UnfitMessageError, read_message, revived_job
from operations.records import LockedJob, ReplayCandidate, RevivedJob

CatalogueLoader = Callable[[], Catalogue]


class ReplayRefusedError(Exception):
    """The dead letter can't be replayed, or not again; the message says why. Nothing was changed."""


class Replayed(msgspec.Struct, frozen=True):
    dead_letter_id: UUID
    job_id: UUID
    generation: int
    """The job's new generation."""


async def replay(database: Database, letter_id: UUID, actor: str, catalogue: CatalogueLoader) -> Replayed:
    """Queue the job of an open dead letter anew: next generation, attempts from the start, a full time to live.

    An orphan's job is made again from its message, within the bounds of today's catalogue. Replaying twice runs the
    job once: the second raises ReplayRefusedError. Raises UnknownLetterError and what loading the catalogue raises.
    """
    async with database.transaction() as connection:
        letter = await store.find_candidate(connection, letter_id)
        if letter is None:
            raise UnknownLetterError(letter_id)
        match letter.kind:
            case "job":
                replayed = await _requeue(connection, letter_id, letter)
            case "orphan":
                replayed = await _revive(connection, letter_id, letter, catalogue)
            case _:
                raise ReplayRefusedError(
                    "The message could not be read, so there is no job to replay; mend what sent it."
                )
        await store.record_audit(connection, actor, "dead_letter.replay", letter_id)
    return replayed


async def _requeue(connection: Connection, letter_id: UUID, letter: ReplayCandidate) -> Replayed:
    assert letter.job_id is not None
    job = await store.lock_job(connection, letter.job_id)
    status = await store.lock_letter(connection, letter_id)
    _check_replayable(letter, job, status)
    if await store.forget_sweep(connection, letter.job_id):
        raise ReplayRefusedError(
            f"What lost attempts of job {letter.job_id} left in the object store is being removed; try again in five"
            " minutes."
        )
    assert letter.generation is not None
    renewed = await store.requeue_dead_job(connection, letter.job_id, letter.generation)
    if renewed is None:
        raise ReplayRefusedError(f"Job {letter.job_id} changed while it was to be replayed; look at it again.")
    await store.mark_replaying(connection, letter_id)
    return Replayed(letter_id, letter.job_id, renewed)


def _check_replayable(letter: ReplayCandidate, job: LockedJob | None, status: str | None) -> None:
    if job is None or job.deleted:
        raise ReplayRefusedError("The job of this dead letter was deleted.")
    if status != "open":
        raise ReplayRefusedError(
            f"It was replayed already: job {letter.job_id} is {job.status} in generation {job.generation}."
        )
    if (job.status, job.generation) != (JobStatus.FAILED, letter.generation):
        raise ReplayRefusedError(
            f"Job {letter.job_id} is {job.status} in generation {job.generation}, not failed in generation"
            f" {letter.generation}."
        )


async def _revive(
    connection: Connection, letter_id: UUID, letter: ReplayCandidate, catalogue: CatalogueLoader
) -> Replayed:
    assert letter.job_id is not None
    await store.hold_purge(connection)
    _refuse_known(letter.job_id, await store.lock_job(connection, letter.job_id))
    job = await _read(connection, letter_id, letter, catalogue)
    if not await store.revive_job(connection, job):
        # Either another replay was faster, or retention moved its line before we held it.
        _refuse_known(job.id, await store.lock_job(connection, job.id))
        raise ReplayRefusedError(f"Job {job.id} was removed for its age; it can't be made again.")
    if await store.lock_letter(connection, letter_id) != "open":
        raise ReplayRefusedError("This dead letter is closed: it was discarded.")
    await _restore_key(connection, job)
    await store.mark_orphans_replaying(connection, job.id)
    return Replayed(letter_id, job.id, job.generation)


def _refuse_known(job_id: UUID, job: LockedJob | None) -> None:
    if job is None:
        return
    if job.deleted:
        raise ReplayRefusedError(f"Job {job_id} was deleted.")
    raise ReplayRefusedError(f"It was replayed already: job {job_id} is {job.status} in generation {job.generation}.")


async def _restore_key(connection: Connection, job: RevivedJob) -> None:
    """Whoever sends the request again shall find this job."""
    if job.idempotency_key is None:
        return
    stands_for = await store.restore_key(connection, job)
    if stands_for != job.id:
        raise ReplayRefusedError(
            f"Its Idempotency-Key stands for job {stands_for} by now, which was submitted in its place."
        )


async def _read(
    connection: Connection, letter_id: UUID, letter: ReplayCandidate, catalogue: CatalogueLoader
) -> RevivedJob:
    """Return the job that the orphan's message asks for, and make sure that it may be made."""
    assert letter.job_id is not None
    assert letter.body is not None
    newest = await store.newest_orphan(connection, letter.job_id)
    if newest is None:
        raise UnknownLetterError(letter_id)
    if newest.id != letter_id:
        raise ReplayRefusedError(
            f"A later generation of job {letter.job_id} is an orphan, too; replay dead letter {newest.id}."
        )
    try:
        message = read_message(letter.body)
        job = revived_job(message, newest.latest + 1, catalogue())
    except UnfitMessageError as error:
        raise ReplayRefusedError(f"The job can't be made again: its message {error}.") from error
    if not await store.tenant_exists(connection, job.tenant_id):
        raise ReplayRefusedError(f"The job can't be made again: there is no tenant {job.tenant_id}.")
    return job
