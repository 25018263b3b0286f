"""What it costs Postgres to find jobs: a plan that is made once, and read by keys and a bounded count."""

from uuid import UUID

import asyncpg
import pytest

from status.store import queries
from tests.support.plans import KeptPlans, rows_looked_at

SQL = queries.find_jobs.sql
MANY = 5_000
AHEAD = 1_001
"""Waiting jobs that are counted at most."""
JOBS = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, completed_at, queued_at)
    SELECT gen_random_uuid(), tenants.id, 'tiny', '{}', '', '1 day', now() + interval '1 day', $1::text,
        CASE WHEN $1 <> 'queued' THEN now() END, now() + n * interval '1 ms'
    FROM tenants, generate_series(1, $2::integer) AS n
    RETURNING id
"""
PLANS = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = 'finding'"


@pytest.fixture
async def quiet(rows: asyncpg.Connection) -> list[UUID]:
    """Insert a history, beside which nothing waits; the planner knows. Return its ids."""
    await rows.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
    await rows.execute("INSERT INTO tenants (name) VALUES ('default')")
    ended = [row["id"] for row in await rows.fetch(JOBS, "canceled", MANY)]
    await rows.execute("VACUUM ANALYZE")
    return ended


async def test_a_plan_made_in_quiet_times_counts_no_more(quiet: list[UUID], rows: asyncpg.Connection) -> None:
    """A queue that has grown since is counted up to its bound, and not for a job that has ended."""
    kept = KeptPlans(rows)
    await kept.prepare(SQL, array(quiet[0]))
    queued = [row["id"] for row in await rows.fetch(JOBS, "queued", MANY)]
    for job_id, most in ((quiet[0], 1), (queued[0], 3), (queued[500], 503), (queued[-1], AHEAD + 1)):
        assert rows_looked_at(await kept.explain(SQL, array(job_id))) <= most


async def test_finding_is_planned_once(quiet: list[UUID], rows: asyncpg.Connection) -> None:
    """However many jobs are asked for: planning costs more than finding one."""
    await rows.execute(f"PREPARE finding AS {SQL}")
    for number in range(20):
        await rows.execute(f"EXECUTE finding ({array(*quiet[: 1 + number % 3])})")
    assert tuple(await rows.fetchrow(PLANS)) == (5, 15)


def array(*ids: UUID) -> str:
    return f"'{{{','.join(map(str, ids))}}}'::uuid[]"
