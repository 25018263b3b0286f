"""The query plans of retention over two months of finished jobs."""

import asyncpg
import pytest

from operations.retention import store
from tests.integration.operations.jobs import Jobs
from tests.support.plans import explain, nodes

HISTORY = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, status, completed_at, outputs,
        outputs_removed_at, error, started_at, idempotency_key)
    SELECT uuidv7(-ago), $1, 'tiny', '{}', '', '1 day', now(), status, now() - ago,
        CASE status WHEN 'succeeded' THEN '[]'::jsonb END,
        CASE WHEN status = 'succeeded' AND ago > interval '30 days' THEN now() END,
        CASE status WHEN 'failed' THEN '{}'::jsonb END, now() - ago, 'k' || n
    FROM generate_series(1, 20000) AS n,
        LATERAL (SELECT n * interval '4 minutes' AS ago) AS age,
        LATERAL (SELECT (ARRAY['succeeded', 'failed', 'canceled'])[1 + n % 3] AS status) AS fate
"""
BELONGINGS = """
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, started_at, ended_at, outcome)
    SELECT gen_random_uuid(), id, 1, 1, 'ansel', started_at, now(), 'failed' FROM jobs;
    INSERT INTO webhook_deliveries
        (id, endpoint_id, job_id, event, job_version, url, origin, snapshot, created_at, status, next_attempt_at,
        finished_at)
    SELECT uuidv7(completed_at - now()), endpoint.id, jobs.id, 'job.failed', 2, 'https://example.com/',
        'https://example.com:443', '{}', completed_at, 'succeeded', NULL, completed_at
    FROM jobs JOIN webhook_endpoints AS endpoint USING (tenant_id);
    INSERT INTO webhook_attempts (delivery_id, number, lease_token) SELECT id, 1, id FROM webhook_deliveries;
    INSERT INTO dead_letters
        (kind, job_id, generation, model, reason, error, fingerprint, status, created_at, resolved_at)
    SELECT 'job', id, 1, 'tiny', '', '{}', '', 'replayed', completed_at, completed_at FROM jobs;
    INSERT INTO alerts (kind, subject, data, opened_at, resolved_at)
    SELECT 'queue.stalled', 'tiny', '{}', completed_at, completed_at FROM jobs;
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id, created_at)
    SELECT tenant_id, idempotency_key, '', id, completed_at FROM jobs;
    UPDATE instance SET purged_before = now() - interval '55 days';
"""
STATEMENTS = {
    "prune_idempotency_keys": "'55 days', 100",
    "prune_letters": "'55 days', 100",
    "prune_alerts": "'55 days', 100",
    "prune_deliveries": "'00000000-0000-0000-0000-000000000000', '55 days', 100",
    "prune_endpoints": "'55 days', 100",
    "prune_sessions": "'55 days', 100",
    "expire_pictures": "'25 days', 100",
    "prune_attempts": "'55 days', '-infinity', '00000000-0000-0000-0000-000000000000', 100",
    "purge_jobs": "'00000000-0000-0000-0000-000000000000', uuidv7(interval '-55 days'), 100, '55 days'",
}
"""The arguments of each statement, in the order of their first use in its text."""
BIG = {"jobs", "attempts", "webhook_deliveries", "webhook_attempts", "dead_letters", "idempotency_keys", "alerts"}


@pytest.fixture
async def history(jobs: Jobs, rows: asyncpg.Connection) -> asyncpg.Connection:
    """Insert two months of finished jobs."""
    await rows.execute(HISTORY, jobs.tenant)
    await rows.execute(BELONGINGS)
    await rows.execute("VACUUM ANALYZE")
    return rows


@pytest.mark.parametrize("generic", [False, True])
async def test_no_statement_walks_a_table(history: asyncpg.Connection, generic: bool) -> None:
    """Every statement, and every foreign key that it triggers, reads by an index."""
    for name, arguments in STATEMENTS.items():
        transaction = history.transaction()
        await transaction.start()
        plan = await explain(history, getattr(store.queries, name).sql, arguments, generic=generic)
        await transaction.rollback()
        walked = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert not walked & BIG, (name, walked)


async def test_foreign_keys_follow_by_index(history: asyncpg.Connection) -> None:
    """Every column with a foreign key to jobs is the first of an index."""
    unindexed = await history.fetch("""
        SELECT conrelid::regclass::text || '.' || attname AS pointer
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND confrelid = 'jobs'::regclass AND NOT EXISTS (
            SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1] AND indpred IS NULL)
    """)
    assert unindexed == []
