"""What a worker's statements read: one job, also if they were planned while no job waited."""

from uuid import UUID

import asyncpg
import pytest

from gpu_consumer.job.store import queries
from tests.support.plans import KeptPlans, rows_looked_at

FEW = 10
WAITING = 5_000
JOBS = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, completed_at)
    SELECT gen_random_uuid(), tenants.id, 'tiny', '{}', '', '1 day', now() + interval '1 day', $1::text,
        CASE WHEN $1 <> 'queued' THEN now() END
    FROM tenants, generate_series(1, $2::integer)
    RETURNING id
"""
BEGIN = """
    UPDATE jobs SET status = 'running', attempt = 1, worker = 'ansel', started_at = now(), lease_token = id,
        lease_expires_at = now() + interval '1 day'
    WHERE id = ANY ($1)
"""


def statements(waiting: UUID, running: UUID) -> dict[str, str]:
    """Return arguments, in the order of their first use, by the names of the statements."""
    token = "gen_random_uuid()"
    return {
        "claim": f"'ansel', {token}, {token}, '15 s', '{waiting}', 1, false, now()",
        "look": f"'{waiting}'",
        "note_parked": f"'5 s', '{waiting}', 1",
        "heartbeat": f"'15 s', 3, 20, '{running}', '{running}'",
    }


@pytest.fixture
async def quiet(rows: asyncpg.Connection) -> asyncpg.Connection:
    """Insert a history, beside which nothing waits or runs; the planner knows."""
    await rows.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    await rows.execute("INSERT INTO tenants (name) VALUES ('default')")
    await rows.execute(JOBS, "canceled", 4 * WAITING)
    await rows.execute("VACUUM ANALYZE")
    return rows


async def burst(rows: asyncpg.Connection) -> dict[str, str]:
    """Queue many jobs, of which every tenth begins. Return the statements for one of each."""
    queued = [row["id"] for row in await rows.fetch(JOBS, "queued", WAITING)]
    await rows.execute(BEGIN, queued[::10])
    return statements(queued[-1], queued[-10])


async def test_plans_made_in_quiet_times_find_their_job(quiet: asyncpg.Connection) -> None:
    """By the primary key, although the indexes of waiting and running jobs were empty when they were made."""
    kept = KeptPlans(quiet)
    for name, unknown in statements(UUID(int=0), UUID(int=0)).items():
        await kept.prepare(getattr(queries, name).sql, unknown)
    excessive = []
    for name, arguments in (await burst(quiet)).items():
        seen = rows_looked_at(await kept.explain(getattr(queries, name).sql, arguments))
        if seen > FEW:
            excessive.append(f"{name} looks at {seen:.0f} rows")
    assert excessive == []
