"""The cost of the republish sweep does not grow with a healthy backlog."""

from datetime import timedelta

import asyncpg
import pytest

from chassis.postgres import load_queries
from operations.sweeps.loops import Republish
from tests.integration.operations.jobs import Jobs
from tests.support.plans import buffers, explain, nodes, scans_of

REPUBLISH = load_queries("operations.sweeps").republish_lost_jobs.sql
AN_HOUR = timedelta(hours=1)
LONG_AGO = "now() - interval '1 hour'"
BACKLOG = """
    INSERT INTO jobs
        (id, tenant_id, model, input, traceparent, ttl, expires_at, queued_at, announced_at, next_attempt_at)
    SELECT uuidv7(), $1, $2, '{}', '', '1 day', now() + interval '1 day', now() - make_interval(secs => n * 0.1),
        now() - make_interval(secs => n * 0.1) + coalesce($3, interval '0'), now() + $3
    FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize("generic", [False, True])
async def test_a_healthy_backlog_costs_nothing(jobs: Jobs, rows: asyncpg.Connection, generic: bool) -> None:
    """No row of queued jobs, of retries that are not due, or of a full outbox is read."""
    await rows.execute(BACKLOG, jobs.tenant, "tiny", None)
    await rows.execute(BACKLOG, jobs.tenant, "tiny", AN_HOUR)
    await rows.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, 1, 'tiny' FROM jobs LIMIT 20000")
    await jobs.claimed(LONG_AGO, ago="1 minute")
    await rows.execute("ANALYZE")
    plan = await explain(rows, REPUBLISH, str(Republish.batch), generic=generic)
    (scan,) = scans_of(plan, "jobs_announced")
    assert scan["Actual Rows"] == 0
    assert buffers(plan) < 50


@pytest.mark.parametrize("generic", [False, True])
async def test_an_outbox_that_is_stuck_costs_a_batch(jobs: Jobs, rows: asyncpg.Connection, generic: bool) -> None:
    """A round reads a batch of the jobs that wait in the outbox of a drained model, each by index."""
    await rows.execute(BACKLOG, jobs.tenant, "tiny", None)
    await rows.execute("UPDATE jobs SET announced_at = now() - interval '1 hour'")
    await rows.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, 1, 'tiny' FROM jobs")
    await jobs.session(empty="now() - interval '30 seconds'")
    await rows.execute("VACUUM ANALYZE")
    plan = await explain(rows, REPUBLISH, "200", generic=generic)
    (scan,) = scans_of(plan, "jobs_announced")
    assert scan["Actual Rows"] == 200
    assert buffers(plan) < 200 * 10
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "outbox"]
