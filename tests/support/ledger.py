"""A job's records beyond the API: its attempts, dead letters and outbox rows."""

from typing import Any

import asyncpg
import msgspec


class Attempt(msgspec.Struct, frozen=True):
    """One claim of a job. `outcome` and `code` are None while it runs, `code` also when nothing went wrong."""

    worker: str
    generation: int
    attempt: int
    outcome: str | None
    code: str | None
    message: str | None


ATTEMPTS = """
    SELECT worker, generation, attempt, outcome, error ->> 'code' AS code, error ->> 'message' AS message
    FROM attempts WHERE job_id = ANY ($1::text[]::uuid[]) ORDER BY started_at
"""
DEAD_LETTERS = "SELECT * FROM dead_letters WHERE job_id IS NOT DISTINCT FROM $1::text::uuid"


class Ledger:
    """Reads the database with a connection for each look, so that it may be restarted between two."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    async def attempts(self, *job_ids: str) -> list[Attempt]:
        """Return the attempts of all these jobs, oldest first."""
        return [Attempt(**row) for row in await self.rows(ATTEMPTS, job_ids)]

    async def outcomes(self, *job_ids: str) -> list[str | None]:
        """Return the outcomes of the attempts of all these jobs, oldest first."""
        return [attempt.outcome for attempt in await self.attempts(*job_ids)]

    async def dead_letters(self, job_id: str | None = None) -> list[asyncpg.Record]:
        """Return the job's dead letters or, without a job, those that belong to none."""
        return await self.rows(DEAD_LETTERS, job_id)

    async def count(self, table: str) -> int:
        """Return the number of rows in a table."""
        return int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0])

    async def rows(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()
