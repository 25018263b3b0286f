"""The query plans of a database in which dead letters of webhooks outnumber all others by far."""

from uuid import UUID

import asyncpg
import pytest

from chassis.postgres import load_queries
from operations.desk import store as desk
from operations.letters import store as letters
from operations.replays import store as replays
from operations.retention import store as retention
from tests.integration.operations.jobs import Jobs
from tests.support.plans import KeptPlans, Plan, explain, nodes, rows_looked_at

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
HISTORY = """
    INSERT INTO dead_letters (kind, job_id, delivery_id, generation, model, reason, error, fingerprint, body, status,
        resolved_at)
    SELECT kind, gen_random_uuid(), CASE WHEN kind = 'webhook' THEN gen_random_uuid() END,
        CASE WHEN kind <> 'webhook' THEN 1 END, CASE WHEN kind <> 'webhook' THEN 'tiny' END, 'x', '{}', '',
        CASE WHEN kind <> 'webhook' THEN 'x'::bytea END, $2, CASE WHEN $2 = 'replayed' THEN now() END
    FROM generate_series(1, $1) AS n, unnest(ARRAY['job', 'orphan', 'webhook']) AS kind
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


async def test_plans_made_while_no_letter_was_open_look_at_few(jobs: Jobs, rows: asyncpg.Connection) -> None:
    """Of a letter, a job or a delivery: by replays, redeliveries, their ends, discards and the ingest."""
    await rows.execute("ALTER TABLE dead_letters SET (autovacuum_enabled = off)")
    await rows.execute(HISTORY, MANY, "replayed")
    job = await jobs.dead()
    letter = (await jobs.letter(job))["id"]
    given_up = [await jobs.given_up(await jobs.ended("succeeded")) for _ in range(2)]
    find_delivery = "SELECT delivery_id FROM dead_letters WHERE id = $1"
    waiting, sent = [await jobs.value(find_delivery, webhook) for webhook in given_up]
    await rows.execute("SELECT redeliver($1)", sent)
    await rows.execute("VACUUM ANALYZE dead_letters")
    statements = {
        replays.queries.requeue_dead_job.sql: f"NULL, NULL, '{job}', 1, '{letter}'",
        replays.queries.mark_orphans_replaying.sql: f"'{job}'",
        replays.queries.newest_orphan.sql: f"'{job}'",
        desk.queries.discard.sql: f"'{letter}'",
        letters.queries.attach_x_deaths.sql: f"'{{1}}', ARRAY['{job}'::uuid], '{{1}}', '{{null}}', '{{x}}', '{{{{}}}}'",
    }
    of_functions = {"redeliver": f"'{waiting}'", "resolve_delivery": f"'{sent}'", "bury_delivery": f"'{sent}', 'x'"}
    statements |= {await _of_letters(rows, function): arguments for function, arguments in of_functions.items()}
    kept = KeptPlans(rows)
    for sql, arguments in statements.items():
        await kept.prepare(sql, arguments)
    await rows.execute(HISTORY, MANY, "open")
    seen = {
        sql: rows_looked_at(await kept.explain(sql, arguments), {"dead_letters"})
        for sql, arguments in statements.items()
    }
    assert {sql: count for sql, count in seen.items() if count > FEW} == {}


async def _of_letters(rows: asyncpg.Connection, function: str) -> str:
    """Return the statement by which a function of a delivery changes its letters."""
    definition: str = await rows.fetchval("SELECT pg_get_functiondef($1::regproc)", function)
    start = min(at for at in map(definition.find, ("UPDATE dead_letters", "WITH resolved")) if at > 0)
    statement = definition[start:].partition(";")[0]
    return statement.replace("the_delivery", "$1::uuid").replace("the_message", "$2::text")
