"""The purge of old jobs, unless something refers to them."""

import asyncio
from uuid import UUID, uuid4

import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from operations.replays.outcome import Redelivered
from operations.replays.replay import replay
from operations.retention import store
from operations.retention.purge import PurgeJobs
from tests.integration.operations.jobs import Jobs, complete_message
from tests.integration.operations.retention.passes import AGE, DAY, OLD, YOUNG, run_pass
from tests.support.ids import aged_id
from tests.support.waiting import eventually

KEY = "INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id) VALUES ($1, $2, '', $3)"

WAITS = """
    SELECT count(*) > 0 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE 'darkroom-%'
"""


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


async def test_old_jobs_go_with_all_that_is_theirs(pool: Database, jobs: Jobs) -> None:
    """Old jobs of every final status are removed with their attempts, deliveries and outbox rows."""
    gone = [await jobs.ended(status, OLD) for status in ("succeeded", "failed", "canceled", "expired")]
    kept = {await jobs.ended("succeeded", YOUNG), await jobs.queued(OLD), await jobs.running()}
    await jobs.settle_deliveries()
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    await jobs.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, 1, 'tiny' FROM jobs")
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == kept
    for table in ("attempts", "webhook_deliveries", "outbox"):
        left = {row["job_id"] for row in await jobs.fetch(f"SELECT job_id FROM {table}")}
        assert not left & set(gone), table
    assert await jobs.value("SELECT count(*) FROM outbox") == len(kept)


async def test_purged_before_is_committed_before_a_job_is_removed(
    pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`purged_before` is committed before a job is removed, so that a purged job is never an orphan."""
    job_id = await jobs.ended("succeeded", OLD)
    await jobs.settle_deliveries()
    seen: list[bool] = []
    purge = store.purge_jobs

    async def watched(*arguments: object) -> object:
        seen.append(await jobs.value("SELECT is_purged($1)", job_id))
        return await purge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "purge_jobs", watched)
    await run_pass(PurgeJobs(pool, AGE))
    assert seen == [True]
    assert await jobs.ids() == set()
    assert await jobs.value("SELECT purged_before - now() + $1::interval < interval '1 minute' FROM instance", AGE)


async def test_purged_before_never_moves_back(pool: Database, jobs: Jobs) -> None:
    """A longer age does not move `purged_before` back."""
    await jobs.execute("UPDATE instance SET purged_before = now() - interval '10 days'")
    before = await jobs.value("SELECT purged_before FROM instance")
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.value("SELECT purged_before FROM instance") == before


async def test_purged_before_stops_at_an_open_orphan(pool: Database, jobs: Jobs) -> None:
    """`purged_before` stops at an open orphan, and younger jobs stay until it is closed."""
    older, younger = await jobs.ended("succeeded", 50 * DAY), await jobs.ended("succeeded", 40 * DAY)
    await jobs.settle_deliveries()
    orphan = aged_id(45 * DAY)
    await jobs.execute(
        "INSERT INTO dead_letters (kind, job_id, generation, model, reason, error, fingerprint, body)"
        " VALUES ('orphan', $1, 1, 'tiny', 'orphan', '{}', '', $2)",
        orphan,
        complete_message(orphan, jobs.tenant),
    )
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == {younger}
    assert await jobs.value("SELECT is_purged($1)", older)
    assert not await jobs.value("SELECT is_purged($1)", orphan)
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == set()


async def test_what_something_holds_stays(pool: Database, jobs: Jobs) -> None:
    """An unresolved letter, an unfinished delivery and an Idempotency-Key keep a job until they end."""
    open_letter, replaying = await jobs.ended("failed", OLD), await jobs.ended("failed", OLD)
    unsent, keyed = await jobs.ended("succeeded", OLD), await jobs.ended("canceled", OLD, idempotency_key="'a-key'")
    await jobs.settle_deliveries()
    await jobs.execute("UPDATE dead_letters SET status = 'replaying' WHERE job_id = $1", replaying)
    await jobs.unsettle_delivery(unsent)
    await jobs.execute(KEY, jobs.tenant, "a-key", keyed)
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == {open_letter, replaying, unsent, keyed}
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    await jobs.settle_deliveries()
    await jobs.execute("DELETE FROM idempotency_keys")
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == set()


async def test_an_open_webhook_letter_holds_its_delivery_and_not_its_job(pool: Database, jobs: Jobs) -> None:
    """The delivery keeps what it needs of the job, and the attempts; a replay sends it after the purge."""
    sent, unsent, resolved = [await jobs.ended("succeeded", OLD) for _ in range(3)]
    letters = {job_id: await jobs.given_up(job_id) for job_id in (sent, unsent, resolved)}
    await jobs.execute("UPDATE webhook_deliveries SET body = NULL WHERE job_id = $1", unsent)
    await jobs.execute(
        "UPDATE dead_letters SET status = 'discarded', resolved_at = now() WHERE id = $1", letters[resolved]
    )
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == set()
    left = await jobs.fetch("SELECT job_id, body, snapshot ->> 'status' AS status FROM webhook_deliveries ORDER BY id")
    assert [tuple(row) for row in left] == [(sent, b"{}", None), (unsent, None, "succeeded")]
    assert await jobs.value("SELECT count(*) FROM webhook_attempts") == 4
    for job_id in (sent, unsent):
        replayed = await replay(pool, letters[job_id], "test", no_catalogue)
        assert isinstance(replayed, Redelivered)
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'") == 2


async def test_a_delivery_that_is_sent_again_meanwhile_stays(pool: Database, jobs: Jobs, database: str) -> None:
    """A purge that found it ended, and met the redelivery, keeps it with what it needs of the job."""
    job_id = await jobs.ended("succeeded", OLD)
    await jobs.settle_deliveries()
    async with Jobs.connected(database) as others:
        await others.execute("BEGIN")
        await others.execute("SELECT redeliver(id) FROM webhook_deliveries")
        purging = asyncio.create_task(run_pass(PurgeJobs(pool, AGE)))
        await eventually(lambda: jobs.value(WAITS), what="the purge waits for the redelivery")
        await others.execute("COMMIT")
    await purging
    assert await jobs.ids() == set()
    [left] = await jobs.fetch("SELECT job_id, status, snapshot IS NOT NULL AS has_content FROM webhook_deliveries")
    assert tuple(left) == (job_id, "pending", True)


async def test_a_key_that_stands_for_another_job_holds_none(pool: Database, jobs: Jobs) -> None:
    """An Idempotency-Key keeps only the job that it refers to."""
    old = await jobs.ended("succeeded", OLD, idempotency_key="'a-key'")
    newer = await jobs.queued(idempotency_key="'a-key'")
    await jobs.settle_deliveries()
    await jobs.execute(KEY, jobs.tenant, "a-key", newer)
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == {newer}
    assert old not in await jobs.ids()


async def test_an_old_job_that_ended_late_stays(pool: Database, jobs: Jobs) -> None:
    """The age of a job counts from its end."""
    job_id = await jobs.ended("succeeded", OLD, completed_at="now() - interval '1 day'")
    await jobs.settle_deliveries()
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == {job_id}


async def test_ids_without_a_time_stay(pool: Database, jobs: Jobs) -> None:
    """Ids without a time stay, since `purged_before` could not describe them."""
    foreign = {UUID(int=7), uuid4()}
    for job_id in foreign:
        await jobs.execute("UPDATE jobs SET id = $1 WHERE id = $2", job_id, await jobs.queued(OLD))
        await jobs.execute(
            "UPDATE jobs SET status = 'expired', completed_at = now() - $2::interval WHERE id = $1", job_id, OLD
        )
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == foreign


async def test_kept_jobs_are_looked_at_once_a_pass(pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass visits every kept job once."""
    monkeypatch.setattr(PurgeJobs, "batch", 3)
    kept = {await jobs.ended("failed", OLD) for _ in range(7)}
    last = await jobs.ended("succeeded", OLD)
    await jobs.settle_deliveries()
    assert await run_pass(PurgeJobs(pool, AGE)) == 3
    assert await jobs.ids() == kept
    assert last not in kept


async def test_purges_at_once_share_the_work(pool: Database, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Concurrent purges remove each job once."""
    monkeypatch.setattr(PurgeJobs, "batch", 10)
    for _ in range(60):
        await jobs.ended("succeeded", OLD)
    await jobs.settle_deliveries()
    await asyncio.gather(*(run_pass(PurgeJobs(pool, AGE)) for _ in range(3)))
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == set()
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 60


async def test_a_locked_job_is_skipped(pool: Database, jobs: Jobs, database: str) -> None:
    """A job that another transaction has locked is skipped."""
    job_id = await jobs.ended("failed", OLD)
    await jobs.settle_deliveries()
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    async with Jobs.connected(database) as others:
        await others.execute("BEGIN")
        await others.set(job_id, status="'queued'", generation="2", dead_lettered="false", completed_at="NULL")
        await run_pass(PurgeJobs(pool, AGE))
        await others.execute("COMMIT")
    assert await jobs.status(job_id) == "queued"


async def test_objects_of_purged_jobs_are_swept(pool: Database, jobs: Jobs) -> None:
    """The purge of a job schedules a sweep of its objects, unless it had none or was swept before."""
    rendered, failed = await jobs.ended("succeeded", OLD), await jobs.ended("failed", OLD)
    await jobs.ended("expired", OLD, started_at="NULL")
    await jobs.ended("succeeded", OLD, outputs="'[]'", outputs_removed_at="now()")
    await jobs.ended("succeeded", OLD, deleted_at="now()")
    await jobs.settle_deliveries()
    await jobs.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    await run_pass(PurgeJobs(pool, AGE))
    assert await jobs.ids() == set()
    swept = await jobs.fetch("SELECT job_id FROM object_sweeps WHERE due_at <= now() AND empty_since IS NULL")
    assert {row["job_id"] for row in swept} == {rendered, failed}
