"""Counts of what waits and runs read along an index, and nothing of what is finished, whatever Postgres guesses."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.postgres import Database, load_queries
from chassis.settings import DatabaseSettings
from gateway.store import JobStore
from operations.queues.store import count_jobs
from status.store import Store
from tests.support.plans import KeptPlans, Plan, buffers, explain, nodes
from tests.support.services import Services

FINISHED = 200_000
WAITING = 40_000
RUNNING = 100
MODELS = ["other", "tiny"]
OPEN_LETTERS = 10
SKIPPED = 4
"""Look-ups that find the next model."""
AT_MOST = 100_000

FILL = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, queued_at, status, attempt,
        started_at, completed_at, worker, lease_token, lease_expires_at, outputs, receipt)
    SELECT gen_random_uuid(), $1, ($2::text[])[1 + n % 2], jsonb_build_object('prompt', repeat(md5(n::text), 6)), '',
        '1 day', now() + interval '1 day' * random(), clock_timestamp(), $3::text, begun::integer,
        CASE WHEN begun THEN now() END, CASE WHEN $3 = 'succeeded' THEN clock_timestamp() END,
        CASE WHEN begun THEN 'worker-' || n % 50 END,
        CASE WHEN $3 = 'running' THEN gen_random_uuid() END, CASE WHEN $3 = 'running' THEN now() + interval '1 day' END,
        CASE WHEN $3 = 'succeeded' THEN '[]'::jsonb END,
        CASE WHEN $3 = 'succeeded' THEN jsonb_build_object('parts', repeat(md5(n::text), 8)) END
    FROM generate_series(1, $4::integer) AS n, (SELECT $3 <> 'queued' AS begun) AS state
"""
FILL_OUTBOX = "INSERT INTO outbox (job_id, generation, model) SELECT id, 1, model FROM jobs WHERE status = 'queued'"
FILL_LETTERS = """
    INSERT INTO dead_letters (kind, reason, error, fingerprint, body, body_sha256, status, resolved_at)
    SELECT 'undecodable', 'x', '{}', 'x', 'x', sha256(n::text::bytea), CASE WHEN n > $1 THEN 'open' ELSE 'replayed' END,
        CASE WHEN n <= $1 THEN now() END
    FROM generate_series(1, $1::integer + $2::integer) AS n
"""
FILL_GROUPS = """
    INSERT INTO dead_letter_groups (id, kind, reason, fingerprint, sample, open, total, first_seen_at, last_seen_at)
    SELECT gen_random_uuid(), 'job', 'x', '', '{}', (n > $1)::integer, 1, now(), now()
    FROM generate_series(1, $1::integer + $2::integer) AS n
"""
SEQUENTIAL_SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'jobs'"


def counts() -> list[tuple[str, str, int]]:
    """Each query with an argument list, and how many rows it may look at."""
    gateway, operations, status = map(load_queries, ("gateway", "operations.queues", "status"))
    alerts = load_queries("operations.alerts")
    models = "ARRAY['other', 'tiny']"
    return [
        (operations.count_jobs.sql, str(AT_MOST), WAITING + RUNNING + SKIPPED),
        (operations.count_jobs.sql, "1000", 1000 * len(MODELS) + RUNNING + SKIPPED),
        (operations.measure_outbox.sql, "1000", 1000 + len(MODELS) + SKIPPED),
        (operations.count_open_letters.sql, f"{AT_MOST}, ARRAY['job', 'undecodable']", OPEN_LETTERS),
        (operations.count_open_letters.sql, "5, ARRAY['job', 'undecodable']", 5),
        (operations.count_letters_by_code.sql, "10000", OPEN_LETTERS),
        (alerts.find_stalled.sql, "0.001", RUNNING * len(MODELS) + SKIPPED + 2 * len(MODELS)),
        (alerts.find_stuck.sql, "1000, 3600", 1000),
        (gateway.count_waiting.sql, f"{models}, {AT_MOST}", WAITING),
        (gateway.count_waiting.sql, f"{models}, 1000", 1000 * len(MODELS)),
        (status.sample_queue.sql, "'tiny'", WAITING // 2),
        (status.measure_pace.sql, "'tiny'", 50),
    ]


@pytest.fixture(scope="module")
async def empty_tables(services: Services) -> AsyncIterator[str]:
    url = await services.database.create_database()
    yield url
    await services.database.drop_database(url)


@pytest.fixture(scope="module")
async def kept(empty_tables: str) -> AsyncIterator[KeptPlans]:
    """Plan the counts while the tables are empty, which the planner knows."""
    connection = await asyncpg.connect(empty_tables)
    for table in ("jobs", "outbox", "dead_letters", "dead_letter_groups"):
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await connection.execute("VACUUM ANALYZE")
    plans = KeptPlans(connection)
    for sql, arguments, _ in counts():
        await plans.prepare(sql, arguments)
    yield plans
    await connection.close()


@pytest.fixture(scope="module")
async def full_database(empty_tables: str, kept: KeptPlans) -> str:
    """Far more finished jobs than waiting ones, and the waiting ones are the table's last."""
    connection = await asyncpg.connect(empty_tables)
    tenant = await connection.fetchval("INSERT INTO tenants (name) VALUES ('default') RETURNING id")
    for status, jobs in (("succeeded", FINISHED), ("queued", WAITING), ("running", RUNNING)):
        await connection.execute(FILL, tenant, MODELS, status, jobs)
    await connection.execute(FILL_OUTBOX)
    await connection.execute(FILL_LETTERS, FINISHED // 10, OPEN_LETTERS)
    await connection.execute(FILL_GROUPS, FINISHED // 10, OPEN_LETTERS)
    await connection.close()
    return empty_tables


@pytest.fixture
async def pool(full_database: str) -> AsyncIterator[Database]:
    """Of one connection, which so is the one that counted."""
    async with Database(DatabaseSettings(database_url=full_database, database_connections=1), "test") as opened:
        yield opened


async def test_plans_made_of_empty_tables_read_no_more(full_database: str, kept: KeptPlans) -> None:
    """Before the other tests, whose ANALYZE would have the counts planned again."""
    for sql, arguments, at_most in counts():
        plan = await kept.explain(sql, arguments)
        assert rows_looked_at(plan) <= at_most, (sql, plan)


@pytest.mark.parametrize("statistics", ["SELECT 1", "ANALYZE", "VACUUM ANALYZE"])  # in this order
async def test_counts_read_nothing_that_is_finished(pool: Database, statistics: str) -> None:
    """With custom and generic plans; without statistics, before pages are known to be visible to all, and after."""
    async with pool.connection() as connection:
        await connection.execute(statistics)
    for sql, arguments, at_most in counts():
        for generic in (False, True):
            async with pool.index_walk() as connection:
                plan = await explain(connection, sql, arguments, generic=generic)
            assert rows_looked_at(plan) <= at_most, plan
            assert buffers(plan) <= at_most * 2, plan


def rows_looked_at(plan: Plan) -> float:
    """In the table or its indexes. Every scan must be along an index."""
    scans = [node for node in nodes(plan) if "Relation Name" in node]
    assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan"}, plan
    return float(sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans))


async def test_services_count_so(pool: Database) -> None:
    """Each count is right, and none of them scans the table."""
    before = await sequential_scans(pool)
    async with pool.index_walk() as connection:
        jobs = await count_jobs(connection, AT_MOST)
    assert jobs == {
        (status, model): n // 2 for status, n in (("queued", WAITING), ("running", RUNNING)) for model in MODELS
    }
    waiting = await JobStore(pool).count_waiting(MODELS, AT_MOST)
    assert [(row.model, row.jobs) for row in waiting] == [(model, WAITING // 2) for model in MODELS]
    assert len(await Store(pool).sample_queue("tiny")) == 100 + (WAITING // 2 - 10_000) // 1_000
    assert await sequential_scans(pool) == before


async def sequential_scans(pool: Database) -> int:
    async with pool.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return int(await connection.fetchval(SEQUENTIAL_SCANS))
