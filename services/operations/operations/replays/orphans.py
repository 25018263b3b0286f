"""Replay an orphan: its job is made again from its message."""

from uuid import UUID

from chassis.postgres import Connection
from darkroom_contracts.api.replays import ReplayEdit
from darkroom_contracts.states import LetterStatus
from operations.errors import UnknownLetterError
from operations.replays import store
from operations.replays.edits import Bounds
from operations.replays.outcome import Replayed, ReplayRefusedError, Verdict
from operations.replays.records import LockedJob, OrphanLetter, RevivedJob
from operations.replays.revival import read_message, revived_job
from operations.retention import purge


async def revive(connection: Connection, letter: OrphanLetter, bounds: Bounds, edit: ReplayEdit | None) -> Replayed:
    """Make an orphan's job again, in the caller's transaction. Raises ReplayRefusedError."""
    await purge.hold(connection)
    refuse_known(letter.job_id, await store.lock_job(connection, letter.job_id))
    job = await read_orphan(connection, letter, bounds, edit)
    if not await store.revive_job(connection, job):
        # Another replay committed first, or `purged_before` advanced before this transaction held it.
        refuse_known(job.id, await store.lock_job(connection, job.id))
        raise ReplayRefusedError(Verdict.REMOVED, "The job can't be made again: it was purged because of its age.")
    if await store.lock_letter(connection, letter.id) is not LetterStatus.OPEN:
        raise ReplayRefusedError(Verdict.DISCARDED, "The dead letter is closed: it was discarded.")
    await _restore_key(connection, job)
    await store.mark_orphans_replaying(connection, job.id)
    return Replayed(letter.id, job.id, job.generation)


def refuse_known(job_id: UUID, job: LockedJob | None) -> None:
    """Raise ReplayRefusedError if the job exists."""
    if job is None:
        return
    if job.deleted:
        raise ReplayRefusedError(Verdict.DELETED, f"Job {job_id} was deleted.")
    raise ReplayRefusedError(
        Verdict.REPLAYED,
        f"The dead letter was replayed already: job {job_id} is {job.status} in generation {job.generation}.",
    )


async def read_orphan(
    connection: Connection, letter: OrphanLetter, bounds: Bounds, edit: ReplayEdit | None
) -> RevivedJob:
    """Return the job that the orphan's message asks for, if it may be made. Raises ReplayRefusedError."""
    newest = await store.newest_orphan(connection, letter.job_id)
    if newest is None:
        raise UnknownLetterError(letter.id)
    if newest.id != letter.id:
        raise ReplayRefusedError(
            Verdict.SUPERSEDED,
            f"A later generation of job {letter.job_id} is an orphan as well; replay dead letter {newest.id}.",
        )
    message = read_message(letter.body)
    job = revived_job(message, newest.latest + 1, bounds, edit)
    if not await store.tenant_exists(connection, job.tenant_id):
        raise ReplayRefusedError(
            Verdict.UNFIT_MESSAGE, f"The job can't be made again: there is no tenant {job.tenant_id}."
        )
    return job


async def _restore_key(connection: Connection, job: RevivedJob) -> None:
    """Make the Idempotency-Key refer to the job again, so that a repeated request finds it."""
    if job.idempotency_key is None:
        return
    referred = await store.restore_key(connection, job)
    if referred != job.id:
        raise ReplayRefusedError(
            Verdict.SUPERSEDED,
            f"The Idempotency-Key refers to job {referred} now, which was submitted in its place.",
        )
