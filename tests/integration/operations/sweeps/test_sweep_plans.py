"""What the sweeps read, if they were planned while nothing waited: no backlog, outbox or history."""

from uuid import uuid4

import asyncpg

from operations.alerts import store as alerts
from operations.retention import store as retention
from operations.sweeps import store as sweeps
from tests.integration.operations.jobs import Jobs
from tests.support.plans import KeptPlans, rows_looked_at

MANY = 5_000
BATCH = 100
TABLES = ("jobs", "outbox", "attempts", "worker_sessions", "object_sweeps")
BACKLOG = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, announced_at)
    SELECT uuidv7(), $1, 'tiny', '{}', '', '1 day', now() + interval '1 day', now() - interval '1 hour'
    FROM generate_series(1, $2::integer)
"""
OUTBOX = "INSERT INTO outbox (job_id, generation, model) SELECT id, 1, 'tiny' FROM jobs"
SESSIONS = """
    INSERT INTO worker_sessions (id, worker, model, ended_at)
    SELECT gen_random_uuid(), 'worker-' || n, 'tiny', now() FROM generate_series(1, $1::integer) AS n
"""
DRAINED = """
    INSERT INTO worker_sessions (id, worker, model, empty_at) VALUES ($1, 'ansel', 'tiny', now() - interval '30 s')
"""
OBJECT_SWEEPS = "INSERT INTO object_sweeps (job_id, due_at) SELECT id, now() + interval '1 hour' FROM jobs"
DUE = "UPDATE object_sweeps SET due_at = now() WHERE job_id IN (SELECT job_id FROM object_sweeps LIMIT 8)"
STATEMENTS = {
    sweeps.queries.expire_jobs: (f"'{{}}', {BATCH}", 0),
    sweeps.queries.republish_lost_jobs: (str(BATCH), 5 * BATCH),
    sweeps.queries.end_silent_sessions: (str(BATCH), 1),
    alerts.queries.find_stalled: ("0.001", 10),
    retention.queries.claim_sweeps: ("'5 minutes', 8", 3 * 8),
    retention.queries.end_sweep: (f"'{uuid4()}', now()", 0),
}
"""Arguments in the order of their first use, and how many rows each statement may look at."""


async def test_no_sweep_grows_with_what_waits(jobs: Jobs, rows: asyncpg.Connection) -> None:
    """Of a model that was drained, whose messages all wait in the outbox, one batch is looked at."""
    for table in TABLES:
        await rows.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await rows.execute("VACUUM ANALYZE")
    kept = KeptPlans(rows)
    for query, (arguments, _) in STATEMENTS.items():
        await kept.prepare(query.sql, arguments)
    await rows.execute(BACKLOG, jobs.tenant, MANY)
    await rows.execute(OUTBOX)
    await rows.execute(SESSIONS, MANY)
    await rows.execute(DRAINED, uuid4())
    await rows.execute(OBJECT_SWEEPS)
    await rows.execute(DUE)
    excessive = []
    for query, (arguments, most) in STATEMENTS.items():
        if (seen := rows_looked_at(await kept.explain(query.sql, arguments))) > most:
            excessive.append(f"{query.__name__} looks at {seen:.0f} rows")
    assert excessive == []
