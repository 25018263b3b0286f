"""Jobs with their messages in the outbox."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg
from aio_pika.abc import AbstractIncomingMessage

from gateway.store import JobStore
from tests.integration.gateway.submissions import submission
from tests.support.queues import Queues

TENANT = "INSERT INTO tenants (name) VALUES ('default') ON CONFLICT (name) DO UPDATE SET name = 'default' RETURNING id"
CHUNK = 500


class Outbox:
    """One database's jobs and messages."""

    def __init__(self, store: JobStore, rows: asyncpg.Connection) -> None:
        self._store = store
        self._rows = rows

    async def put(self, count: int = 1, *, lane: str | None = None, **changes: Any) -> list[UUID]:
        """Submit jobs, each with an Idempotency-Key. Return their ids in the order of their messages."""
        tenant = await self._rows.fetchval(TENANT)
        submissions = [submission(tenant, uuid4().hex, **changes) for _ in range(count)]
        for start in range(0, count, CHUNK):
            await self._store.insert(submissions[start : start + CHUNK])
        jobs = [submitted.id for submitted in submissions]
        await self._rows.execute("UPDATE outbox SET lane = $2 WHERE job_id = ANY ($1)", jobs, lane)
        return jobs

    async def waiting(self) -> list[tuple[int, bool]]:
        """Return (failures, whether it is due) of all messages."""
        return [tuple(row) for row in await self._rows.fetch("SELECT failures, available_at <= now() FROM outbox")]

    async def count(self, model: str) -> int:
        return int(await self._rows.fetchval("SELECT count(*) FROM outbox WHERE model = $1", model))

    async def let_be_due(self, failures: int | None = None) -> None:
        """Make every message due, optionally with a number of failures."""
        await self._rows.execute("UPDATE outbox SET available_at = now(), failures = coalesce($1, failures)", failures)

    async def pauses(self) -> list[float]:
        """Return the seconds until each message is due."""
        query = "SELECT extract(epoch FROM available_at - clock_timestamp())::float FROM outbox ORDER BY id"
        return [row[0] for row in await self._rows.fetch(query)]


async def published(vhost: str, queue: str) -> list[AbstractIncomingMessage]:
    """Take all messages out of the queue."""
    messages = []
    async with Queues(vhost).channel() as channel:
        source = await channel.get_queue(queue)
        while message := await source.get(fail=False, no_ack=True):
            messages.append(message)
    return messages
