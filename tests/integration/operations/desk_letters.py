"""Dead letters inserted as rows: many of them, of any kind."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from tests.support.ids import NOW

MESSAGE = "CUDA out of memory. Tried to allocate 20.00 MiB"
INSERT = """
    INSERT INTO dead_letters (id, kind, status, job_id, delivery_id, tenant_id, generation, model, worker, session_id,
        reason, error, fingerprint, returns, body, body_sha256, headers, x_death, created_at, resolved_at)
    SELECT id, $1, $2, CASE WHEN $1 IN ('job', 'orphan') THEN coalesce($3, gen_random_uuid()) END,
        CASE WHEN $1 = 'webhook' THEN gen_random_uuid() END, $4, CASE WHEN $1 IN ('job', 'orphan') THEN n END,
        CASE WHEN $1 IN ('job', 'orphan') THEN $5 END, $6, NULL, $7::jsonb ->> 'code', $7, error_fingerprint($7), $8,
        CASE WHEN $1 <> 'webhook' THEN convert_to(id::text, 'UTF8') END,
        CASE WHEN $1 = 'undecodable' THEN sha256(convert_to(id::text, 'UTF8')) END, '{"x-death": []}', '[]',
        uuid_extract_timestamp(id), CASE WHEN $2 IN ('replayed', 'discarded') THEN now() END
    FROM (SELECT n, uuidv7(n * interval '1 millisecond' - $9) AS id FROM generate_series(1, $10::integer) AS n) AS made
    ORDER BY id RETURNING id
"""
FOLD = """
    WITH taken AS (DELETE FROM dead_letter_deltas RETURNING *)
    INSERT INTO dead_letter_groups
        (id, kind, model, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
    SELECT DISTINCT ON (letter.group_id) letter.group_id, kind, model, reason, fingerprint, error, 1, 1, at, at
    FROM taken JOIN dead_letters AS letter ON letter.id = letter_id
    ON CONFLICT DO NOTHING
"""


def error(message: str = MESSAGE, code: str = "out_of_memory", stage: str = "render") -> dict[str, Any]:
    return {"code": code, "message": message, "retryable": False, "stage": stage}


class DeskLetters:
    """The dead letters of a database."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(
        self,
        count: int = 1,
        kind: str = "job",
        status: str = "open",
        *,
        tenant: str | None = None,
        model: str = "tiny",
        worker: str | None = None,
        job: UUID | None = None,
        returns: int = 0,
        ago: timedelta = NOW,
        **failure: str,
    ) -> list[UUID]:
        """Insert letters, a millisecond apart. Return their ids, the newest first."""
        rows = await self._connection.fetch(
            INSERT,
            kind,
            status,
            job,
            None if tenant is None else await self.tenant(tenant),
            model,
            worker,
            json.dumps(error(**failure)),
            returns,
            ago + timedelta(minutes=1),
            count,
        )
        return sorted((row["id"] for row in rows), reverse=True)

    async def tenant(self, name: str) -> UUID:
        """Return the id of a tenant, which is made if it does not exist."""
        found: UUID = await self._connection.fetchval(
            "INSERT INTO tenants (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = $1 RETURNING id", name
        )
        return found

    async def fold(self) -> None:
        """Make the groups of all letters."""
        await self._connection.execute(FOLD)

    async def group(self, letter_id: UUID) -> UUID:
        """Return the group of a letter."""
        return UUID(str((await self.row(letter_id))["group_id"]))

    async def row(self, letter_id: UUID) -> Any:
        return await self._connection.fetchrow("SELECT * FROM dead_letters WHERE id = $1", letter_id)

    async def with_status(self, status: str) -> set[UUID]:
        """Return the letters of a status."""
        return {row["id"] for row in await self.fetch("SELECT id FROM dead_letters WHERE status = $1", status)}

    async def everything(self) -> list[Any]:
        """Return every column of every letter, and the rows' versions: equal only if nothing wrote."""
        return await self.fetch("SELECT xmin, ctid, * FROM dead_letters ORDER BY id")

    async def audit(self) -> list[Any]:
        """Return the audit log."""
        return await self.fetch("SELECT actor, action, subject, reason, before, after FROM audit_log ORDER BY id")

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        return list(await self._connection.fetch(query, *arguments))

    async def execute(self, statement: str, *arguments: Any) -> None:
        await self._connection.execute(statement, *arguments)
