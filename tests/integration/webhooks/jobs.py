"""Jobs that end, and the deliveries that they leave behind."""

import json
from typing import Any
from uuid import UUID, uuid4

import asyncpg

INSERT = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, webhook_url, webhook_events)
    SELECT uuidv7(), $1, 'tiny', $2, '', '1 hour', now() + interval '1 hour', $3, $4
    FROM generate_series(1, $5) RETURNING id
"""
START = """
    WITH claimed AS (
        UPDATE jobs SET status = 'running', attempt = 1, worker = 'ansel', started_at = now(),
            lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute'
        WHERE id = $1 AND status = 'queued' RETURNING jobs AS job
    )
    SELECT (job).lease_token, record_delivery(job, 'job.started') FROM claimed
"""
FINISH = "SELECT finish_job($1, 1, $2, $3, $4, $5)"
ERROR = '{"code": "pipeline_error", "message": "It failed.", "retryable": false, "stage": "render"}'
OUTPUTS = json.dumps(
    [
        {
            "index": 0,
            "key": "jobs/a/0-b.png",
            "content_type": "image/png",
            "width": 64,
            "height": 64,
            "size_bytes": 9,
            "sha256": "ab" * 32,
            "seed": 7,
        }
    ]
)
INPUT = json.dumps(
    {
        "prompt": "a lighthouse",
        "negative_prompt": "",
        "num_inference_steps": 4,
        "guidance_scale": 7.5,
        "scheduler": "ddim",
        "width": 64,
        "height": 64,
        "seed": 7,
        "num_images": 1,
        "output_format": "png",
    }
)
STANDING = """
    INSERT INTO webhook_endpoints (tenant_id, url, events) VALUES ($1, $2, '{job.canceled}') RETURNING id
"""

OPERATORS = "INSERT INTO webhook_endpoints (audience, url, events) VALUES ('operator', $1, $2) RETURNING id"


class Shop:
    """The jobs of a tenant."""

    def __init__(self, connection: asyncpg.Connection, tenant: UUID) -> None:
        self._connection = connection
        self.tenant = tenant

    @classmethod
    async def open(cls, connection: asyncpg.Connection) -> "Shop":
        """Make a tenant."""
        name = f"tenant-{uuid4().hex[:8]}"
        tenant = await connection.fetchval("INSERT INTO tenants (name) VALUES ($1) RETURNING id", name)
        return cls(connection, tenant)

    async def another(self) -> "Shop":
        """Make another tenant."""
        return await Shop.open(self._connection)

    async def standing(self, url: str) -> UUID:
        """Make a standing endpoint for canceled jobs."""
        return UUID(str(await self._connection.fetchval(STANDING, self.tenant, url)))

    async def operators(self, url: str, *events: str) -> UUID:
        """Make an operators' endpoint for the events."""
        return UUID(str(await self._connection.fetchval(OPERATORS, url, events)))

    async def end(self, url: str | None, count: int = 1) -> list[UUID]:
        """Submit jobs with a webhook URL, and cancel each in a transaction of its own. Return their ids."""
        ids = await self._submit(url, "job.canceled", count=count)
        for job_id in ids:
            assert await self._connection.fetchval("SELECT finish_job($1, 1, NULL, 'canceled')", job_id)
        return ids

    async def start(self, url: str, *events: str) -> tuple[UUID, UUID]:
        """Submit a job that asks for the events, and claim it. Return its id and its lease token."""
        [job_id] = await self._submit(url, *events)
        return job_id, await self._connection.fetchval(START, job_id)

    async def fail(self, url: str) -> UUID:
        """Submit a job, and let it fail. Return its id."""
        job_id, token = await self.start(url, "job.failed")
        assert await self._connection.fetchval(FINISH, job_id, token, "failed", ERROR, None)
        return job_id

    async def succeed(self, url: str) -> UUID:
        """Submit a job, and let it succeed with a picture. Return its id."""
        job_id, token = await self.start(url, "job.succeeded")
        assert await self._connection.fetchval(FINISH, job_id, token, "succeeded", None, OUTPUTS)
        return job_id

    async def _submit(self, url: str | None, *events: str, count: int = 1) -> list[UUID]:
        rows = await self._connection.fetch(INSERT, self.tenant, INPUT, url, events, count)
        return [row["id"] for row in rows]

    async def deliveries(self) -> list[Any]:
        """Return all deliveries, the oldest first."""
        return list(await self._connection.fetch("SELECT * FROM webhook_deliveries ORDER BY created_at"))

    async def attempts(self, delivery_id: UUID | None = None) -> list[Any]:
        """Return the attempts of a delivery, or of all."""
        return list(
            await self._connection.fetch(
                "SELECT * FROM webhook_attempts WHERE $1::uuid IS NULL OR delivery_id = $1 ORDER BY started_at, number",
                delivery_id,
            )
        )

    async def count(self, status: str) -> int:
        """Return how many deliveries have a status."""
        return int(await self._connection.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status = $1", status))

    async def make_due(self) -> None:
        """Let the pause of every waiting delivery be over."""
        await self.execute(
            "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'pending' AND lease_token IS NULL"
        )

    async def row(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchrow(query, *arguments)

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)
