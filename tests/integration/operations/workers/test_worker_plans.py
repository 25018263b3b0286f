"""What lists of workers, and the watch over them, read beside a long history."""

import asyncpg
import pytest

from operations.alerts import store as alerts
from operations.workers import store as workers
from tests.integration.operations.jobs import Jobs
from tests.support.plans import explain, nodes

WORKERS = 200
HISTORY = """
    INSERT INTO worker_sessions (id, worker, model, started_at, last_beat_at, ended_at)
    SELECT gen_random_uuid(), 'worker-' || n % $1, 'tiny', now() - n * interval '1 minute', now(),
        CASE WHEN n > $1 THEN now() END
    FROM generate_series(1, 20000) AS n
"""
ATTEMPTS = """
    WITH job AS (
        INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at)
        VALUES (gen_random_uuid(), $1, 'tiny', '{}', '', '1 day', now() + interval '1 day') RETURNING id
    )
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, started_at, ended_at, outcome)
    SELECT gen_random_uuid(), job.id, 1, 1, 'worker-' || n % 200, now() - n * interval '1 second', now(), 'succeeded'
    FROM job, generate_series(1, 50000) AS n
"""
ALERTS = """
    INSERT INTO alerts (kind, subject, data, opened_at, resolved_at)
    SELECT 'worker.lost', worker, jsonb_build_object('session_id', id), started_at,
        CASE WHEN started_at < now() - interval '13 days' THEN NULL ELSE now() END
    FROM (
        SELECT DISTINCT ON (worker) * FROM worker_sessions WHERE ended_at IS NOT NULL ORDER BY worker, started_at
    ) AS first
"""
STATEMENTS = {
    workers.queries.list_workers: "NULL, NULL, 5000",
    workers.queries.list_lost: "NULL, 5000, NULL",
    workers.queries.count_attempts: "10000",
    workers.queries.request_drain: "'worker-7'",
    workers.queries.cancel_drain: "'worker-7'",
    alerts.queries.find_lost: "60",
    alerts.queries.list_open: "ARRAY['queue.stalled', 'worker.lost'], 1000",
}
MOST = 10_500
"""Rows that a statement may look at: the newest attempts, or the open sessions."""


@pytest.fixture
async def history(jobs: Jobs, rows: asyncpg.Connection) -> asyncpg.Connection:
    """Insert two weeks of sessions, and half a day of attempts."""
    await rows.execute(HISTORY, WORKERS)
    await rows.execute(ATTEMPTS, jobs.tenant)
    await rows.execute(ALERTS)
    await rows.execute("VACUUM ANALYZE")
    return rows


@pytest.mark.parametrize("generic", [False, True])
async def test_no_list_reads_the_history(history: asyncpg.Connection, generic: bool) -> None:
    """With custom and generic plans they read open sessions, and a bounded number of attempts."""
    for query, arguments in STATEMENTS.items():
        transaction = history.transaction()
        await transaction.start()
        await history.execute("SET LOCAL enable_seqscan = off")
        plan = await explain(history, query.sql, arguments, generic=generic)
        await transaction.rollback()
        scanned = [node for node in nodes(plan) if "Relation Name" in node and node["Node Type"] != "ModifyTable"]
        walked = {node["Relation Name"] for node in scanned if node["Node Type"] == "Seq Scan"}
        assert not walked, (query.__name__, walked)
        looked_at = sum(node["Actual Rows"] * node["Actual Loops"] for node in scanned)
        assert looked_at <= MOST, (query.__name__, looked_at)
