"""Jobs as rows, changed by the SQL functions that the services use."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from darkroom_contracts.api import Receipt
from darkroom_contracts.objects import StoredOutput, output_key
from tests.support.keys import insert_key
from tests.support.models import job_input

RECEIPT = Receipt("rev-1", "ddim", "float32", "cpu", {"torch": "2.13.0"})


class TenantJobs:
    """A tenant's jobs, through their states."""

    def __init__(self, connection: asyncpg.Connection, tenant_id: UUID, key: str) -> None:
        self._connection = connection
        self.tenant_id = tenant_id
        self.key = key

    @classmethod
    async def of(cls, tenant: str, connection: asyncpg.Connection) -> "TenantJobs":
        key = await insert_key(connection, tenant)
        tenant_id = await connection.fetchval("SELECT id FROM tenants WHERE name = $1", tenant)
        return cls(connection, tenant_id, key.reveal())

    async def queue(self, count: int = 1, model: str = "tiny", **metadata: str) -> list[UUID]:
        """Queue `count` jobs, a microsecond apart. Return their ids, first to last."""
        rows = await self._connection.fetch(
            """
            INSERT INTO jobs (id, tenant_id, model, input, metadata, traceparent, ttl, queued_at, expires_at)
            SELECT gen_random_uuid(), $1, $2, $3, $4, 'trace', '1 day',
                clock_timestamp() + number * interval '1 microsecond', now() + interval '1 day'
            FROM generate_series(1, $5) AS number
            RETURNING id, queued_at
            """,
            self.tenant_id,
            model,
            _json(job_input(num_inference_steps=20)),
            _json(metadata),
            count,
        )
        return [row["id"] for row in sorted(rows, key=lambda row: row["queued_at"])]

    async def claim(self, job_id: UUID, worker: str = "worker-1") -> UUID:
        """Start an attempt and return its lease token."""
        token: UUID = await self._connection.fetchval(
            """
            UPDATE jobs SET status = 'running', attempt = attempt + 1, started_at = clock_timestamp(), worker = $2,
                lease_token = gen_random_uuid(), lease_expires_at = now() + interval '15 s'
            WHERE id = $1 RETURNING lease_token
            """,
            job_id,
            worker,
        )
        return token

    async def report(self, job_id: UUID, step: int, steps: int = 20) -> None:
        """Write what a heartbeat does."""
        await self._connection.execute("UPDATE jobs SET step = $2, steps = $3 WHERE id = $1", job_id, step, steps)

    async def succeed(self, job_id: UUID, token: UUID) -> StoredOutput:
        """Settle a running job with one picture."""
        sha256 = "ab" * 32
        key = output_key(job_id, 0, sha256, "png")
        output = StoredOutput(0, key, "image/png", 64, 64, 3000, sha256, 7)
        metrics = {"inference_ms": 300.5, "store_ms": 5.25}
        await self._finish(job_id, token, "succeeded", outputs=[output], receipt=RECEIPT, metrics=metrics)
        return output

    async def fail(self, job_id: UUID, token: UUID | None, error: dict[str, Any]) -> None:
        """Settle a job as dead."""
        await self._finish(job_id, token, "failed", error=error)

    async def retry(self, job_id: UUID, token: UUID, error: dict[str, Any], seconds: int) -> None:
        """Return a running job to the queue, where it waits before its next attempt."""
        await self._connection.execute(
            "SELECT return_job($1, $2, 'retried', $3, NULL, make_interval(secs => $4))",
            job_id,
            token,
            _json(error),
            seconds,
        )

    async def backdate_start(self, job_id: UUID, duration: timedelta) -> None:
        """Set the duration of a finished job."""
        await self._connection.execute(
            "UPDATE jobs SET started_at = completed_at - $2::interval WHERE id = $1", job_id, duration
        )

    async def _finish(self, job_id: UUID, token: UUID | None, status: str, **columns: Any) -> None:
        names = ("error", "outputs", "receipt", "metrics")
        done = await self._connection.fetchval(
            "SELECT finish_job($1, 1, $2, $3, $4, $5, $6, $7)",
            job_id,
            token,
            status,
            *(_json(columns[name]) if name in columns else None for name in names),
        )
        assert done, "the guard of finish_job held"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
