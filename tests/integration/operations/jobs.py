"""Jobs in a real database, moved to each state by the functions of the schema."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

import asyncpg

from darkroom_contracts.api import JobInput
from darkroom_contracts.messages import encode_render, v2
from darkroom_contracts.messages.v1 import Render, encode
from tests.support.ids import NOW, aged_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ERROR = {"code": "pipeline_error", "message": "The scheduler failed at step 7.", "retryable": False, "stage": "render"}

INSERT = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, webhook_url, webhook_events,
        created_at, queued_at, announced_at)
    VALUES ($1, $2, 'tiny', '{}', $3, '1 hour', now() + interval '1 hour', 'https://example.com/hook',
        '{job.expired,job.failed,job.canceled,job.succeeded}', now() - $4::interval, now() - $4, now() - $4)
"""
CLAIM = """
    WITH claimed AS (
        UPDATE jobs SET status = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(),
            lease_expires_at = now() + $2::text::interval, started_at = now(), next_attempt_at = NULL, worker = $3,
            step = 1, steps = 4
        WHERE id = $1 RETURNING *
    )
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, session_id)
    SELECT lease_token, id, generation, attempt, worker, $4 FROM claimed RETURNING lease_token
"""
SESSION = """
    INSERT INTO worker_sessions (id, worker, model, started_at, last_beat_at, empty_at, empty_before_at)
    VALUES ($1, 'ansel', $2, now() - interval '1 day', {last_beat}, {empty}, {empty_before})
"""
SETTLE_DELIVERIES = """
    UPDATE webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL, finished_at = now()
    WHERE status = 'pending'
"""
UNSETTLE_DELIVERY = """
    UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now(), finished_at = NULL WHERE job_id = $1
"""
GIVE_UP = """
    WITH attempt AS (
        INSERT INTO webhook_attempts (delivery_id, number, lease_token, ended_at, outcome, status_code, dns_ms,
            connect_ms, tls_ms, first_byte_ms, total_ms, error, response)
        SELECT delivery.id, n, gen_random_uuid(), now(), 'failed', 500, 1, 2, 3, 4.25, 5,
            'The receiver answered 500.', $3
        FROM webhook_deliveries AS delivery, generate_series(1, $2) AS n WHERE job_id = $1
    )
    UPDATE webhook_deliveries SET
        status = 'failed', attempt = $2, failures = $2, body = '{}', snapshot = NULL, next_attempt_at = NULL,
        finished_at = now()
    WHERE job_id = $1 RETURNING id
"""
FINISH = "SELECT finish_job($1, generation, $2, $3, $4, $5, the_body => $6) FROM jobs WHERE id = $1"


def message(job_id: UUID, generation: int = 1) -> bytes:
    return encode(Render(job_id, generation, "tiny", TRACEPARENT))


INPUT = JobInput("a lighthouse", "", 4, 7.5, "ddim", 64, 64, 7, 1, "png")


def complete_message(job_id: UUID, tenant: UUID, **changes: Any) -> bytes:
    """Return a message of version 2, which carries its whole job."""
    fields: dict[str, Any] = {
        "job_id": job_id,
        "generation": 1,
        "model": "tiny",
        "tenant_id": tenant,
        "input": INPUT,
        "cost": INPUT.cost,
        "created_at": datetime.now(UTC) - timedelta(hours=3),
        "expires_at": datetime.now(UTC),
        "ttl_seconds": 3600,
        "max_attempts": 4,
        "instance_id": uuid4(),
        "stamped_at": datetime.now(UTC),
        "traceparent": TRACEPARENT,
    }
    return encode_render(v2.Render(**(fields | changes)))


class Jobs:
    """The jobs of a tenant."""

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

    @property
    def tenant(self) -> UUID:
        return self._tenant

    async def queued(self, age: timedelta = NOW, **columns: str) -> UUID:
        """Insert a job queued `age` ago, with columns set to SQL expressions: `expires_at="now()"`."""
        job_id = aged_id(age)
        await self._connection.execute(INSERT, job_id, self._tenant, TRACEPARENT, age)
        await self.set(job_id, **columns)
        return job_id

    async def running(self, lease: str = "15 seconds", worker: str = "ansel", **columns: str) -> UUID:
        """Insert a job that a worker holds; a lease of `-1 second` has run out."""
        job_id = await self.queued(NOW, **columns)
        await self.claim(job_id, lease, worker)
        return job_id

    async def claim(
        self, job_id: UUID, lease: str = "15 seconds", worker: str = "ansel", session: UUID | None = None
    ) -> UUID:
        """Claim a job, and return the lease token."""
        token: UUID = await self._connection.fetchval(CLAIM, job_id, lease, worker, session)
        return token

    async def session(
        self, model: str = "tiny", last_beat: str = "now()", empty: str = "NULL", empty_before: str = "NULL"
    ) -> UUID:
        """Insert a worker's session, with SQL expressions for its last heartbeat and its last two answers "empty"."""
        session_id = uuid4()
        statement = SESSION.format(last_beat=last_beat, empty=empty, empty_before=empty_before)
        await self._connection.execute(statement, session_id, model)
        return session_id

    async def claimed(self, stamped: str, ago: str, model: str = "tiny") -> None:
        """Record the claim of a message of the model: stamped at an SQL expression, claimed `ago`."""
        job_id = await self.queued()
        token = await self.claim(job_id, lease="1 day", session=await self.session(model))
        await self._connection.execute(
            f"UPDATE attempts SET stamped_at = {stamped}, started_at = now() - $2::text::interval"
            " WHERE lease_token = $1",
            token,
            ago,
        )

    async def dead(self, age: timedelta = NOW, **columns: str) -> UUID:
        """Insert a job whose only attempt failed for good, with its dead letter."""
        job_id = await self.queued(age, **columns)
        await self.finish(job_id, await self.claim(job_id), "failed")
        return job_id

    async def ended(self, status: str, age: timedelta = NOW, **columns: str) -> UUID:
        """Insert a job that ended `age` ago, in its only attempt."""
        job_id = await self.queued(age)
        await self.finish(job_id, await self.claim(job_id), status)
        await self._connection.execute("UPDATE jobs SET completed_at = now() - $2::interval WHERE id = $1", job_id, age)
        await self._connection.execute(
            "UPDATE attempts SET started_at = now() - $2::interval WHERE job_id = $1", job_id, age
        )
        await self.set(job_id, **columns)
        return job_id

    async def relayed(self, job_id: UUID, **changes: Any) -> bytes:
        """Return a message of the job with its tenant and database, as the relay sends it."""
        fields = {"instance_id": await self.value("SELECT id FROM instance")} | changes
        return complete_message(job_id, self._tenant, **fields)

    async def settle_deliveries(self) -> None:
        """Mark every webhook delivery as finished."""
        await self._connection.execute(SETTLE_DELIVERIES)

    async def unsettle_delivery(self, job_id: UUID) -> None:
        """Make a job's webhook delivery due again."""
        await self._connection.execute(UNSETTLE_DELIVERY, job_id)

    async def given_up(self, job_id: UUID, attempts: int = 2, response: bytes | None = b"broken") -> UUID:
        """Give a job's webhook delivery up, after attempts that failed. Return the id of its dead letter."""
        delivery = await self.value(GIVE_UP, job_id, attempts, response)
        await self.execute("SELECT bury_delivery($1, 'The receiver answered 500.')", delivery)
        letter: UUID = await self.value("SELECT id FROM dead_letters WHERE delivery_id = $1", delivery)
        return letter

    async def ids(self) -> set[UUID]:
        """Return the ids of all jobs."""
        return {row["id"] for row in await self.fetch("SELECT id FROM jobs")}

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
        """Return the latest dead letter of a job."""
        return await self._connection.fetchrow(
            "SELECT * FROM dead_letters WHERE job_id = $1 ORDER BY generation DESC LIMIT 1", job_id
        )

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self._connection.fetch(query, *arguments))

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)
