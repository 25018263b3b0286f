"""Watches the sweep that publishes jobs again, and lays out backlogs of any age for it to judge."""

from uuid import UUID

from darkroom_contracts.topology import work_queue
from tests.support.http_client import Client
from tests.support.stack import IDLE_MODEL, Stack
from tests.support.waiting import eventually

SWEPT = 'darkroom_operations_swept_total{sweep="republish"}'
PROOF_SECONDS = 120
"""So soon after it is shown to be lost a message is published again."""

_DECOY = """
    WITH asked AS (
        INSERT INTO worker_sessions (id, worker, model, empty_at)
        VALUES (gen_random_uuid(), 'decoy', $1, now() - interval '11 seconds')
    )
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, announced_at)
    SELECT uuidv7(), id, $1, '{}', '', '1 hour', now() + interval '1 hour', now() - interval '1 hour'
    FROM tenants ORDER BY created_at LIMIT 1
    RETURNING id
"""
_CLONES = """
    WITH cloned AS (
        INSERT INTO jobs (id, tenant_id, key_id, model, input, traceparent, cost, ttl, expires_at, created_at,
            queued_at, announced_at)
        SELECT uuidv7(), tenant_id, key_id, $4, input, traceparent, cost, ttl, now() + ttl, stamp, stamp, stamp
        FROM jobs CROSS JOIN LATERAL (
            SELECT now() - make_interval(secs => $3 * ($2 + 1 - n)) AS stamp FROM generate_series(1, $2) AS n
        ) AS stamps
        WHERE id = $1::text::uuid
        RETURNING id, model, generation, created_at
    )
    INSERT INTO outbox (job_id, generation, model, created_at, available_at)
    SELECT id, generation, model, created_at, created_at FROM cloned ORDER BY created_at
"""


class SweepWatch:
    """Counts what the sweep publishes from now on, but for decoys."""

    def __init__(self, stack: Stack, before: float) -> None:
        self._stack = stack
        self._before = before
        self._decoys = 0

    @classmethod
    async def begun(cls, stack: Stack) -> "SweepWatch":
        return cls(stack, await stack.operations.metric(SWEPT))

    async def rounds(self, count: int) -> None:
        """Wait until the sweep has made `count` rounds.

        Each is known by a decoy, a job whose loss is on record, which it publishes again. One statement judges all
        models, so whatever else was shown to be lost then is published with it.
        """
        for _ in range(count):
            await self._round()

    async def published(self) -> int:
        """Return the number of messages, without decoys, that it had republished."""
        return int(await self._stack.operations.metric(SWEPT) - self._before) - self._decoys

    async def _round(self) -> None:
        (decoy,) = await self._stack.ledger.rows(_DECOY, IDLE_MODEL)
        try:
            await eventually(lambda: self._swept(decoy["id"]), seconds=60, what="the sweep made a round")
        finally:
            await self._stack.ledger.rows("SELECT finish_job($1, 1, NULL, 'canceled')", decoy["id"])
            await self._stack.ledger.rows("DELETE FROM worker_sessions WHERE worker = 'decoy'")
        self._decoys += 1

    async def _swept(self, decoy: UUID) -> bool:
        fresh = "SELECT announced_at > created_at AS swept FROM jobs WHERE id = $1"
        return bool((await self._stack.ledger.rows(fresh, decoy))[0]["swept"])


async def lay_out_backlog(
    stack: Stack, client: Client, model: str, count: int, spacing_seconds: float, *, steps: int = 1
) -> list[str]:
    """Publish jobs as if they had come at equal intervals until now; return their ids, oldest first.

    The messages have those times as their stamps. The relay takes them for belated and renews the jobs' announcements,
    which are set back.
    """
    template = await client.submit(IDLE_MODEL, steps=steps)
    await client.cancel(template)
    await stack.ledger.rows(_CLONES, template, count, float(spacing_seconds), model)

    async def published() -> bool:
        return not await stack.ledger.rows("SELECT FROM outbox WHERE model = $1 LIMIT 1", model)

    await eventually(published, seconds=120, what="the backlog is published")
    await stack.ledger.rows("UPDATE jobs SET announced_at = created_at WHERE model = $1 AND status = 'queued'", model)
    rows = await stack.ledger.rows("SELECT id::text FROM jobs WHERE model = $1 ORDER BY created_at", model)
    return [row["id"] for row in rows]


async def wait_for_messages(stack: Stack, model: str, count: int) -> None:
    """Wait until `count` messages wait for the model's workers."""

    async def wait() -> bool:
        return await stack.queues.waiting(work_queue(model)) == count

    await eventually(wait, seconds=60, what=f"{count} messages wait for {model}")
