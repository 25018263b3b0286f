"""The query plans of a database in which dead letters of webhooks outnumber all others by far."""

from uuid import UUID

import asyncpg
import pytest

from chassis.postgres import load_queries
from operations.letters import store as letters
from operations.replays import store as replays
from operations.retention import store as retention
from tests.integration.operations.jobs import Jobs
from tests.support.plans import Plan, explain, nodes

MANY = 20_000
FEW = 20
LETTERS = """
    INSERT INTO dead_letters (kind, job_id, delivery_id, reason, error, fingerprint, created_at)
    SELECT 'webhook', gen_random_uuid(), gen_random_uuid(), 'x', '{}', '', now() - n * interval '1 minute'
    FROM generate_series(1, $1) AS n
"""
OTHERS = """
    INSERT INTO dead_letters (kind, job_id, generation, model, reason, error, fingerprint, body, created_at)
    SELECT kind, gen_random_uuid(), 1, 'tiny', 'x', '{}', '', 'x', now() - interval '1 year'
    FROM generate_series(1, $1), unnest(ARRAY['job', 'orphan']) AS kind
"""
ID = f"'{UUID(int=7)}'"


@pytest.fixture
async def crowded(jobs: Jobs, rows: asyncpg.Connection) -> asyncpg.Connection:
    """Insert far more letters of webhooks than of anything else, all open."""
    await rows.execute(LETTERS, MANY)
    await rows.execute(OTHERS, FEW)
    await rows.execute("VACUUM ANALYZE dead_letters")
    return rows


def looked_at(plan: Plan) -> float:
    """Return how many letters the plan looked at. It must not scan the table."""
    scans = [node for node in nodes(plan) if node.get("Relation Name") == "dead_letters"]
    assert scans
    assert "Seq Scan" not in {scan["Node Type"] for scan in scans}, plan
    return float(
        sum((scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans)
    )


@pytest.mark.parametrize("generic", [False, True])
async def test_a_job_s_letters_are_found_by_an_index(crowded: asyncpg.Connection, generic: bool) -> None:
    """By replays, by the ingest, by the deletion of a job, and by the end of a replayed one."""
    gateway = load_queries("gateway")
    statements = {
        replays.queries.newest_orphan.sql: ID,
        letters.queries.attach_x_deaths.sql: f"'{{1}}', ARRAY[{ID}::uuid], '{{1}}', '{{null}}', '{{x}}', '{{{{}}}}'",
        letters.queries.tenants_of.sql: f"ARRAY[{ID}::uuid]",
        gateway.delete_job.sql: ID,
        _closing(await crowded.fetchval("SELECT pg_get_functiondef('finish_job'::regproc)")): f"{ID}, 2",
    }
    for sql, arguments in statements.items():
        transaction = crowded.transaction()
        await transaction.start()
        plan = await explain(crowded, sql, arguments, generic=generic)
        await transaction.rollback()
        scans = {n["Node Type"] for n in nodes(plan) if n.get("Relation Name") == "dead_letters"}
        assert scans, sql
        assert "Seq Scan" not in scans, sql


async def test_the_purge_looks_at_orphans_alone(crowded: asyncpg.Connection) -> None:
    """The moment up to which jobs are purged stops at the oldest open orphan."""
    plan = await explain(crowded, retention.queries.advance_purge.sql, "'90 days'")
    assert looked_at(plan) <= FEW


def _closing(finish_job: str) -> str:
    """Return the statement by which `finish_job` closes the letters of earlier generations."""
    statement = finish_job[finish_job.index("UPDATE dead_letters SET status = 'replayed'") :].partition(";")[0]
    return statement.replace("job.id", "$1").replace("job.generation", "$2")
