"""The removal of old rows, unless something refers to them."""

from datetime import timedelta

import pytest

from chassis.postgres import Database
from operations.retention.pruning import (
    ExpirePictures,
    PruneAlerts,
    PruneAttempts,
    PruneDeliveries,
    PruneEndpoints,
    PruneKeys,
    PruneLetters,
)
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.retention.passes import AGE, OLD, YOUNG, run_pass

RESOLVE = "UPDATE dead_letters SET status = 'replayed', resolved_at = now() - $2::interval WHERE job_id = $1"
AGE_DELIVERY = """
    UPDATE webhook_deliveries SET id = uuidv7(-$2::interval), created_at = now() - $2, finished_at = finished_at - $2
    WHERE job_id = $1
"""
ATTEMPTS = "INSERT INTO webhook_attempts (delivery_id, number, lease_token) SELECT id, 1, id FROM webhook_deliveries"
ENDPOINT = """
    INSERT INTO webhook_endpoints (tenant_id, url, description, deleted_at)
    VALUES ($1, 'https://example.com/', $2, now() - $3::interval)
"""
OUTPUTS = """'[{"index": 0, "key": "jobs/x/0-x.png", "content_type": "image/png", "width": 64, "height": 64,
    "size_bytes": 1, "sha256": "x", "seed": 1}]'"""


async def test_old_idempotency_keys_are_forgotten(pool: Database, jobs: Jobs) -> None:
    """Old Idempotency-Keys are removed, a batch in a round; younger ones stay."""
    await jobs.execute(
        "INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id, created_at)"
        " SELECT gen_random_uuid(), 'k', '', gen_random_uuid(), now() - make_interval(hours => n)"
        " FROM generate_series(0, $1) AS n",
        PruneKeys.batch + 20,
    )
    prune = PruneKeys(pool, timedelta(hours=10.5))
    assert await prune.run_once() is True
    assert await prune.run_once() is False
    assert await jobs.value("SELECT count(*) FROM idempotency_keys") == 11


async def test_resolved_letters_go(pool: Database, jobs: Jobs) -> None:
    """The age of a letter counts from its resolution; open letters stay at any age."""
    old, young, open_one = [await jobs.dead(OLD) for _ in range(3)]
    await jobs.execute("UPDATE dead_letters SET created_at = now() - interval '1 year'")
    await jobs.execute(RESOLVE, old, OLD)
    await jobs.execute(RESOLVE, young, YOUNG)
    await PruneLetters(pool, AGE).run_once()
    left = {row["job_id"] for row in await jobs.fetch("SELECT job_id FROM dead_letters")}
    assert left == {young, open_one}


async def test_settled_deliveries_go(pool: Database, jobs: Jobs) -> None:
    """Old deliveries that ended are removed with their attempts; unfinished ones stay at any age."""
    old, young, unsent = [await jobs.ended("succeeded", OLD) for _ in range(3)]
    await jobs.settle_deliveries()
    await jobs.unsettle_delivery(unsent)
    for job_id, age in ((old, OLD), (young, YOUNG), (unsent, OLD)):
        await jobs.execute(AGE_DELIVERY, job_id, age)
    await jobs.execute(ATTEMPTS)
    await run_pass(PruneDeliveries(pool, AGE))
    left = {row["job_id"] for row in await jobs.fetch("SELECT job_id FROM webhook_deliveries")}
    assert left == {young, unsent}
    assert await jobs.value("SELECT count(*) FROM webhook_attempts") == 2
    assert old in await jobs.ids()


async def test_the_age_of_a_delivery_counts_from_its_end(pool: Database, jobs: Jobs) -> None:
    """An old delivery that was sent again lately stays."""
    job_id = await jobs.ended("succeeded", OLD)
    await jobs.settle_deliveries()
    await jobs.execute(AGE_DELIVERY, job_id, OLD)
    await jobs.execute("UPDATE webhook_deliveries SET finished_at = now()")
    await run_pass(PruneDeliveries(pool, AGE))
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries") == 1


async def test_a_delivery_stays_as_long_as_its_letter_is_open(pool: Database, jobs: Jobs) -> None:
    """Resolved, the letter no longer keeps it, and is kept itself."""
    job_id = await jobs.ended("succeeded", OLD)
    await jobs.execute(AGE_DELIVERY, job_id, OLD)
    letter = await jobs.given_up(job_id)
    await jobs.execute("UPDATE webhook_deliveries SET finished_at = finished_at - $1::interval", OLD)
    await run_pass(PruneDeliveries(pool, AGE))
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries") == 1
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE id = $1", letter)
    await run_pass(PruneDeliveries(pool, AGE))
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries") == 0
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1


async def test_kept_deliveries_are_looked_at_once_a_pass(
    pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass visits every kept delivery once."""
    monkeypatch.setattr(PruneDeliveries, "batch", 3)
    for _ in range(7):
        await jobs.execute(AGE_DELIVERY, await jobs.ended("succeeded", OLD), OLD)
    last = await jobs.ended("succeeded", OLD)
    await jobs.execute(
        "UPDATE webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL,"
        " finished_at = now() WHERE job_id = $1",
        last,
    )
    await jobs.execute(AGE_DELIVERY, last, OLD)
    assert await run_pass(PruneDeliveries(pool, AGE)) == 3
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries") == 7
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries WHERE job_id = $1", last) == 0


async def test_deleted_endpoints_go_after_their_deliveries(pool: Database, jobs: Jobs) -> None:
    """A deleted endpoint stays while it has a delivery and until it is old; others stay."""
    names = ("old", "young", "used", "alive")
    for name in names:
        await jobs.execute(ENDPOINT, jobs.tenant, name, {"young": YOUNG, "alive": None}.get(name, OLD))
    await jobs.execute(
        "INSERT INTO webhook_deliveries (endpoint_id, event, url, origin, snapshot)"
        " SELECT id, 'webhook_endpoint.test', url, url_origin(url), '{}' FROM webhook_endpoints"
        " WHERE description = 'used'"
    )
    await PruneEndpoints(pool, AGE).run_once()
    left = await jobs.fetch("SELECT description FROM webhook_endpoints WHERE NOT implicit")
    assert {row["description"] for row in left} == {"young", "used", "alive"}
    await jobs.execute("DELETE FROM webhook_deliveries")
    await PruneEndpoints(pool, AGE).run_once()
    left = await jobs.fetch("SELECT description FROM webhook_endpoints WHERE NOT implicit")
    assert {row["description"] for row in left} == {"young", "alive"}
    assert await jobs.value("SELECT count(*) FROM webhook_endpoints WHERE implicit") == 1


async def test_pictures_go_before_their_jobs(pool: Database, jobs: Jobs) -> None:
    """The record of an old job changes once: no outputs, the next version, a scheduled sweep of its objects."""
    old = await jobs.ended("succeeded", OLD, outputs=OUTPUTS)
    other = await jobs.ended("succeeded", OLD, outputs=OUTPUTS, overrides="""'{"model": "another"}'""")
    young = await jobs.ended("succeeded", YOUNG, outputs=OUTPUTS)
    failed = await jobs.ended("failed", OLD)
    before = {job_id: await jobs.row(job_id) for job_id in (old, other, young, failed)}
    for _ in range(2):
        await run_pass(ExpirePictures(pool, AGE))
    for job_id in (old, other):
        row = await jobs.row(job_id)
        assert (row["status"], row["outputs"], row["version"]) == ("succeeded", "[]", before[job_id]["version"] + 1)
        assert row["outputs_removed_at"] is not None
        assert row["receipt"] == before[job_id]["receipt"]
    for job_id in (young, failed):
        assert await jobs.row(job_id) == before[job_id]
    swept = await jobs.fetch("SELECT job_id FROM object_sweeps WHERE due_at <= now()")
    assert {row["job_id"] for row in swept} == {old, other}


async def test_old_attempts_go(pool: Database, jobs: Jobs) -> None:
    """Old attempts are removed, except those of running jobs and of jobs with an open dead letter."""
    old, young = await jobs.ended("succeeded", OLD), await jobs.ended("succeeded", YOUNG)
    dead, answered = await jobs.ended("failed", OLD), await jobs.ended("failed", OLD)
    running = await jobs.running()
    await jobs.execute("UPDATE attempts SET started_at = now() - $2::interval WHERE job_id = $1", running, OLD)
    await jobs.execute(RESOLVE, answered, timedelta())
    await run_pass(PruneAttempts(pool, AGE))
    left = {row["job_id"] for row in await jobs.fetch("SELECT job_id FROM attempts")}
    assert left == {young, dead, running}
    assert {old, answered} < await jobs.ids()


async def test_sessions_go_after_the_attempts_that_name_them(pool: Database, jobs: Jobs) -> None:
    """An old session is removed unless an attempt refers to it."""
    named, unnamed, young, alive = [await jobs.session() for _ in range(4)]
    dead = await jobs.ended("failed", OLD)
    await jobs.execute("UPDATE attempts SET session_id = $1 WHERE job_id = $2", named, dead)
    for session, age in ((named, OLD), (unnamed, OLD), (young, YOUNG)):
        await jobs.execute("UPDATE worker_sessions SET ended_at = now() - $2::interval WHERE id = $1", session, age)
    await run_pass(PruneAttempts(pool, AGE))
    left = {row["id"] for row in await jobs.fetch("SELECT id FROM worker_sessions")}
    assert left == {named, young, alive}


async def test_resolved_alerts_go_by_their_age(pool: Database, jobs: Jobs) -> None:
    """An alert that is open stays, however old it is."""
    for subject, resolved in (("old", OLD), ("young", YOUNG), ("open", None)):
        await jobs.execute(
            "INSERT INTO alerts (kind, subject, data, opened_at, resolved_at)"
            " VALUES ('queue.stalled', $1, '{}', now() - interval '1 year', now() - $2::interval)",
            subject,
            resolved,
        )
    await run_pass(PruneAlerts(pool, AGE))
    assert {row["subject"] for row in await jobs.fetch("SELECT subject FROM alerts")} == {"young", "open"}


async def test_kept_attempts_are_looked_at_once_a_pass(
    pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass visits every kept attempt once, and the next pass visits it again."""
    monkeypatch.setattr(PruneAttempts, "batch", 3)
    for _ in range(7):
        await jobs.ended("failed", OLD)
    last = await jobs.ended("succeeded", OLD)
    prune = PruneAttempts(pool, AGE)
    assert await run_pass(prune) == 3
    assert await jobs.value("SELECT count(*) FROM attempts") == 7
    assert await jobs.value("SELECT count(*) FROM attempts WHERE job_id = $1", last) == 0
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    await run_pass(prune)
    assert await jobs.value("SELECT count(*) FROM attempts") == 0
