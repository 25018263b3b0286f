"""One dead letter with everything that is not hidden."""

from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database
from darkroom_contracts.api.dead_letters import DeadLetter, DeadLetterDetail
from darkroom_contracts.states import LetterKind
from operations.desk import store
from operations.desk.records import Criteria
from operations.errors import UnknownLetterError

MOST_ATTEMPTS = 200
"""Attempts that are shown. A refund or a redelivery adds to them without a limit."""
MOST_ACTS = 100


class ShowLetter:
    """The use case of `get_dead_letter`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, letter_id: UUID) -> DeadLetterDetail:
        """Return a letter with its job's attempts or its delivery, and what was done with it.

        Raises UnknownLetterError.
        """
        async with self._database.connection() as connection:
            letter = await read_letter(connection, letter_id)
            detail = DeadLetterDetail(
                **msgspec.structs.asdict(letter),
                attempts=[],
                acts=await store.list_acts(connection, letter_id, MOST_ACTS),
            )
            if letter.kind is LetterKind.WEBHOOK and letter.delivery_id is not None:
                delivery = await store.find_delivery(connection, letter.delivery_id, MOST_ATTEMPTS)
                return msgspec.structs.replace(detail, delivery=delivery)
            return await _with_job(connection, detail)


async def read_letter(connection: Connection, letter_id: UUID) -> DeadLetter:
    """Return a letter. Raises UnknownLetterError."""
    for letter in await store.read_letters(connection, [letter_id], Criteria(), None, 1):
        return letter
    raise UnknownLetterError(letter_id)


async def _with_job(connection: Connection, detail: DeadLetterDetail) -> DeadLetterDetail:
    if detail.job_id is None:
        return detail
    attempts = await store.list_attempts(connection, detail.job_id, MOST_ATTEMPTS)
    job = await store.find_job(connection, detail.job_id)
    if job is None:
        return msgspec.structs.replace(detail, attempts=attempts)
    return msgspec.structs.replace(
        detail, attempts=attempts, job_status=job.status, job_generation=job.generation, job_deleted=job.deleted
    )
