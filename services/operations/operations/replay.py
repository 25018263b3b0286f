"""Replay: a dead job is given another life."""

from uuid import UUID

import msgspec

from chassis.postgres import Database
from contracts.states import JobStatus
from operations import store
from operations.letters import UnknownLetterError
from operations.records import ReplayCandidate


class ReplayRefusedError(Exception):
    """The dead letter can't be replayed, or not again; the message says why. Nothing was changed."""


class Replayed(msgspec.Struct, frozen=True):
    dead_letter_id: UUID
    job_id: UUID
    generation: int
    """The job's new generation."""


async def replay(database: Database, letter_id: UUID, actor: str) -> Replayed:
    """Queue the job of an open dead letter anew: next generation, attempts from the start, a full time to live.

    Replaying twice runs the job once: the second raises ReplayRefusedError. Raises UnknownLetterError.
    """
    async with database.transaction() as connection:
        letter = await store.lock_letter(connection, letter_id)
        if letter is None:
            raise UnknownLetterError(letter_id)
        job_id, generation = _replayable(letter)
        renewed = await store.requeue_dead_job(connection, job_id, generation)
        if renewed is None:
            raise ReplayRefusedError(f"Job {job_id} changed while it was to be replayed; look at it again.")
        await store.mark_replaying(connection, letter_id)
        await store.record_audit(connection, actor, "dead_letter.replay", letter_id)
    return Replayed(letter_id, job_id, renewed)


def _replayable(letter: ReplayCandidate) -> tuple[UUID, int]:
    if letter.kind != "job":
        raise ReplayRefusedError("The message could not be read, so there is no job to replay; mend what sent it.")
    if letter.job_id is None or letter.generation is None:
        raise ReplayRefusedError("The job of this dead letter was deleted.")
    if letter.status != "open":
        raise ReplayRefusedError(
            f"It was replayed already: job {letter.job_id} is {letter.job_status} in generation"
            f" {letter.job_generation}."
        )
    if (letter.job_status, letter.job_generation) != (JobStatus.FAILED, letter.generation):
        raise ReplayRefusedError(
            f"Job {letter.job_id} is {letter.job_status} in generation {letter.job_generation}, not failed in"
            f" generation {letter.generation}."
        )
    return letter.job_id, letter.generation
