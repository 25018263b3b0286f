"""Endpoints and deliveries of a tenant, inserted as rows: histories that would take days to deliver."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from chassis.auth import Caller
from darkroom_contracts.api import Scope
from webhooks.registry.allowances import Act, Allowances

AMPLE = Allowances(dict.fromkeys(Act, 1_000))
"""Rates that no test of something else exceeds."""
ENDPOINT = """
    INSERT INTO webhook_endpoints (tenant_id, audience, url, events)
    VALUES ($1, CASE WHEN $1::uuid IS NULL THEN 'operator' ELSE 'client' END, 'https://example.com/', '{job.failed}')
    RETURNING id
"""
DELIVERIES = """
    INSERT INTO webhook_deliveries (id, endpoint_id, tenant_id, job_id, job_version, event, url, origin, body, status,
        attempt, failures, created_at, scheduled_at, next_attempt_at, finished_at)
    SELECT id, $1, $2, $3, n, $4, 'https://example.com/hook', 'https://example.com:443', '{"type":"job.failed"}', $5, 1,
        ($5 = 'failed')::integer, uuid_extract_timestamp(id), uuid_extract_timestamp(id),
        CASE WHEN $5 = 'pending' THEN now() + interval '1 hour' END, CASE WHEN $5 <> 'pending' THEN now() END
    FROM (SELECT n, uuidv7(n * interval '1 millisecond' - $6) AS id FROM generate_series(1, $7::integer) AS n) AS made
    ORDER BY id RETURNING id
"""
ATTEMPTS = """
    INSERT INTO webhook_attempts
        (delivery_id, number, lease_token, ended_at, outcome, status_code, total_ms, error, response)
    SELECT id, 1, gen_random_uuid(), now(), 'failed', 500, 12.5, 'The receiver answered 500.', 'internals'
    FROM webhook_deliveries WHERE id = ANY ($1)
"""


class Log:
    """The endpoints and the deliveries of a tenant or, without one, of the operators."""

    def __init__(self, connection: asyncpg.Connection, tenant: UUID | None) -> None:
        self._connection = connection
        self.tenant = tenant

    @classmethod
    async def open(cls, connection: asyncpg.Connection) -> "Log":
        """Make a tenant."""
        name = f"tenant-{uuid4().hex[:8]}"
        return cls(connection, await connection.fetchval("INSERT INTO tenants (name) VALUES ($1) RETURNING id", name))

    async def another(self) -> "Log":
        """Make another tenant."""
        return await Log.open(self._connection)

    def operators(self) -> "Log":
        """Return the log of operators' endpoints."""
        return Log(self._connection, None)

    def caller(self, scope: Scope = Scope.CLIENT) -> Caller:
        """Return a caller with a key of the tenant."""
        assert self.tenant is not None
        return Caller(self.tenant, "key", scope)

    async def endpoint(self) -> UUID:
        """Make a standing endpoint."""
        return UUID(str(await self._connection.fetchval(ENDPOINT, self.tenant)))

    async def implicit(self) -> UUID:
        """Return the implicit endpoint."""
        query = "SELECT id FROM webhook_endpoints WHERE tenant_id = $1 AND implicit"
        return UUID(str(await self._connection.fetchval(query, self.tenant)))

    async def deliver(
        self,
        endpoint: UUID,
        count: int = 1,
        status: str = "succeeded",
        *,
        ago: timedelta = timedelta(hours=1),
        event: str = "job.failed",
        job: UUID | None = None,
    ) -> list[UUID]:
        """Insert deliveries, a millisecond apart and each with an attempt. Return their ids, the oldest first."""
        rows = await self._connection.fetch(DELIVERIES, endpoint, self.tenant, job, event, status, ago, count)
        ids = [row["id"] for row in rows]
        await self._connection.execute(ATTEMPTS, ids)
        return ids

    async def row(self, delivery_id: UUID) -> Any:
        """Return the row of a delivery."""
        return await self._connection.fetchrow("SELECT * FROM webhook_deliveries WHERE id = $1", delivery_id)

    async def with_status(self, status: str) -> list[UUID]:
        """Return the deliveries of a status, the oldest first."""
        rows = await self._connection.fetch("SELECT id FROM webhook_deliveries WHERE status = $1 ORDER BY id", status)
        return [row["id"] for row in rows]

    async def value(self, query: str) -> Any:
        return await self._connection.fetchval(query)

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)
