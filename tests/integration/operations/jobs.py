"""Jobs in a real database, brought into each state by the protocol's own functions."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import UUID, uuid4

import asyncpg

from contracts.messages.v1 import Render, encode

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ERROR = {"code": "pipeline_error", "message": "The scheduler failed at step 7.", "retryable": False, "stage": "render"}

INSERT = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, webhook_url, webhook_events)
    VALUES ($1, $2, 'tiny', '{}', $3, '1 hour', now() + interval '1 hour', 'https://example.com/hook',
        '{job.expired,job.failed,job.canceled,job.succeeded}')
"""
CLAIM = """
    WITH claimed AS (
        UPDATE jobs SET status = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(),
            lease_expires_at = now() + $2::text::interval, started_at = now(), next_attempt_at = NULL, worker = $3
        WHERE id = $1 RETURNING *
    )
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker)
    SELECT lease_token, id, generation, attempt, worker FROM claimed RETURNING lease_token
"""
FINISH = "SELECT finish_job($1, generation, $2, $3, $4, $5, the_body => $6) FROM jobs WHERE id = $1"


def message(job_id: UUID, generation: int = 1) -> bytes:
    return encode(Render(job_id, generation, "tiny", TRACEPARENT))


class Jobs:
    """One tenant's jobs."""

    def __init__(self, connection: asyncpg.Connection, tenant: UUID) -> None:
        self._connection = connection
        self._tenant = tenant

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator[Self]:
        connection = await asyncpg.connect(url)
        try:
            tenant = await connection.fetchval(
                "INSERT INTO tenants (name) VALUES ('default') ON CONFLICT (name) DO UPDATE SET name = 'default'"
                " RETURNING id"
            )
            yield cls(connection, tenant)
        finally:
            await connection.close()

    async def queued(self, **columns: str) -> UUID:
        """A waiting job, with columns set to SQL expressions: `expires_at="now()"`."""
        job_id = uuid4()
        await self._connection.execute(INSERT, job_id, self._tenant, TRACEPARENT)
        await self.set(job_id, **columns)
        return job_id

    async def running(self, lease: str = "15 seconds", worker: str = "ansel", **columns: str) -> UUID:
        """A job that a worker holds; a lease of `-1 second` has run out."""
        job_id = await self.queued(**columns)
        await self.claim(job_id, lease, worker)
        return job_id

    async def claim(self, job_id: UUID, lease: str = "15 seconds", worker: str = "ansel") -> UUID:
        """The claim of the protocol; its lease token."""
        token: UUID = await self._connection.fetchval(CLAIM, job_id, lease, worker)
        return token

    async def dead(self, **columns: str) -> UUID:
        """A job whose only attempt failed for good, with its dead letter."""
        job_id = await self.queued(**columns)
        await self.finish(job_id, await self.claim(job_id), "failed")
        return job_id

    async def finish(self, job_id: UUID, token: UUID | None, status: str) -> bool:
        error = json.dumps(ERROR) if status == "failed" else None
        outputs = "[]" if status == "succeeded" else None
        body = message(job_id, (await self.row(job_id))["generation"])
        return bool(await self._connection.fetchval(FINISH, job_id, token, status, error, outputs, body))

    async def set(self, job_id: UUID, **columns: str) -> None:
        if columns:
            assignments = ", ".join(f"{column} = {expression}" for column, expression in columns.items())
            await self._connection.execute(f"UPDATE jobs SET {assignments} WHERE id = $1", job_id)

    async def row(self, job_id: UUID) -> Any:
        return await self._connection.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)

    async def status(self, job_id: UUID) -> str:
        return str((await self.row(job_id))["status"])

    async def letter(self, job_id: UUID) -> Any:
        """The latest dead letter of a job."""
        return await self._connection.fetchrow(
            "SELECT * FROM dead_letters WHERE job_id = $1 ORDER BY generation DESC LIMIT 1", job_id
        )

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self._connection.fetch(query, *arguments))

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)
