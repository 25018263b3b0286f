"""Retention over a year of jobs in all states, while other clients submit and finish jobs."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chassis.postgres import Database
from chassis.storage import Storage
from operations.retention.objects import SweepObjects
from operations.retention.pruning import (
    ExpirePictures,
    PruneAttempts,
    PruneDeliveries,
    PruneKeys,
    PruneLetters,
    Retention,
)
from operations.retention.purge import PurgeJobs
from tests.integration.operations.jobs import Jobs
from tests.support.buckets import storage_settings
from tests.support.endpoints import Bucket

DAY = timedelta(days=1)
JOBS_AGE, PICTURES_AGE, ATTEMPTS_AGE, LETTERS_AGE, DELIVERIES_AGE = 90 * DAY, 30 * DAY, 45 * DAY, 120 * DAY, 20 * DAY
KEYS_AGE = DAY
LONGEST_STATEMENT_SECONDS = 2.0

# A job each 36 minutes. The offset keeps every age a quarter of an hour away from every bound.
KINDS = (
    *("plain", "twice", "letter open", "letter closed", "letter closed lately", "canceled", "expired"),
    *("unsent", "undelivered", "deleted", "queued", "running", "key", "young key"),
)
YEAR = """
    INSERT INTO jobs (id, tenant_id, model, input, traceparent, ttl, expires_at, created_at, queued_at, announced_at,
        idempotency_key, status, attempt, started_at, completed_at, lease_token, lease_expires_at, worker, error,
        outputs, dead_lettered, deleted_at)
    SELECT uuidv7(-age), $1, 'model-' || n % 3, '{}', 'year ' || kind, '7 days', now() + interval '7 days',
        now() - age, now() - age, now() - age, 'key-' || n, status, tried::integer,
        CASE WHEN tried THEN now() - age END, CASE WHEN ended THEN now() - age END,
        CASE status WHEN 'running' THEN gen_random_uuid() END,
        CASE status WHEN 'running' THEN now() + interval '1 day' END, 'ansel',
        CASE status WHEN 'failed' THEN '{"code": "x"}'::jsonb END,
        CASE status WHEN 'succeeded' THEN '[]'::jsonb END, status = 'failed',
        CASE kind WHEN 'deleted' THEN now() - age END
    FROM generate_series(1, 14600) AS n,
        LATERAL (SELECT n * interval '36 minutes' + interval '17 minutes' AS age) AS ages,
        LATERAL (SELECT ($2::text[])[1 + n % cardinality($2::text[])] AS kind) AS kinds,
        LATERAL (SELECT CASE
            WHEN kind IN ('queued', 'running', 'canceled', 'expired') THEN kind
            WHEN kind LIKE 'letter%' THEN 'failed' ELSE 'succeeded' END AS status) AS states,
        LATERAL (SELECT status NOT IN ('queued', 'expired') AS tried, status NOT IN ('queued', 'running') AS ended) AS s
"""
BELONGINGS = """
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, started_at, ended_at, outcome)
    SELECT coalesce(lease_token, gen_random_uuid()), id, 1, 1, 'ansel', created_at,
        completed_at, CASE WHEN completed_at IS NOT NULL THEN status END
    FROM jobs, generate_series(1, CASE traceparent WHEN 'year twice' THEN 2 ELSE 1 END) WHERE attempt > 0;
    INSERT INTO webhook_deliveries
        (id, endpoint_id, job_id, event, job_version, url, origin, snapshot, created_at, status, next_attempt_at,
        finished_at)
    SELECT uuidv7(completed_at - now()), endpoint.id, jobs.id, 'job.' || jobs.status, 2, 'https://example.com/',
        'https://example.com:443', '{}', completed_at,
        CASE WHEN unsent THEN 'pending' WHEN traceparent = 'year undelivered' THEN 'failed' ELSE 'succeeded' END,
        CASE WHEN unsent THEN now() END, CASE WHEN NOT unsent THEN completed_at END
    FROM jobs JOIN webhook_endpoints AS endpoint USING (tenant_id),
        LATERAL (SELECT traceparent = 'year unsent' AS unsent) AS state
    WHERE completed_at IS NOT NULL;
    INSERT INTO webhook_attempts (delivery_id, number, lease_token) SELECT id, 1, id FROM webhook_deliveries;
    INSERT INTO dead_letters
        (kind, job_id, generation, model, reason, error, fingerprint, status, created_at, resolved_at)
    SELECT 'job', id, 1, model, 'x', '{}', '',
        CASE traceparent WHEN 'year letter open' THEN 'open' ELSE 'replayed' END, created_at,
        CASE traceparent WHEN 'year letter closed' THEN completed_at WHEN 'year letter closed lately' THEN now() END
    FROM jobs WHERE status = 'failed';
    INSERT INTO dead_letters (kind, job_id, delivery_id, reason, error, fingerprint, created_at)
    SELECT 'webhook', job_id, id, 'x', '{}', '', created_at FROM webhook_deliveries WHERE status = 'failed';
    INSERT INTO idempotency_keys (tenant_id, key, body_hash, job_id, created_at)
    SELECT tenant_id, idempotency_key, '', id, CASE traceparent WHEN 'year key' THEN created_at ELSE now() END
    FROM jobs WHERE traceparent IN ('year key', 'year young key');
    ANALYZE;
"""


class Bystanders:
    """A client that submits and finishes jobs until it is stopped; retention must keep all of them."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._stopping = False
        self.finished: set[UUID] = set()

    async def run(self) -> None:
        while not self._stopping:
            job_id = await self._jobs.queued()
            assert await self._jobs.finish(job_id, await self._jobs.claim(job_id), "failed")
            self.finished.add(job_id)

    def stop(self) -> None:
        self._stopping = True


@pytest.fixture
def loops(pool: Database) -> list[Retention]:
    return [
        PruneKeys(pool, KEYS_AGE),
        PruneLetters(pool, LETTERS_AGE),
        PruneDeliveries(pool, DELIVERIES_AGE),
        PruneAttempts(pool, ATTEMPTS_AGE),
        ExpirePictures(pool, PICTURES_AGE),
        PurgeJobs(pool, JOBS_AGE),
    ]


async def _run(loops: list[Retention]) -> float:
    """Run a pass of every loop concurrently, and return the longest batch in seconds."""
    batches: list[float] = []

    async def measured(loop: Retention) -> None:
        remove = loop.remove

        async def timed() -> Any:
            began = time.monotonic()
            done = await remove()
            batches.append(time.monotonic() - began)
            assert done.removed <= done.visited <= loop.batch
            return done

        loop.remove = timed  # type: ignore[method-assign]
        while await loop.run_once():
            pass
        loop.remove = remove  # type: ignore[method-assign]

    await asyncio.gather(*map(measured, loops))
    return max(batches)


def _kept(kind: str, age: timedelta) -> bool:
    """Return whether a job of that kind and age must be kept after every release."""
    return age < JOBS_AGE or kind in ("letter open", "unsent", "queued", "running", "young key")


@pytest.mark.timeout(300)
async def test_a_year_of_days(
    pool: Database, jobs: Jobs, database: str, loops: list[Retention], bucket: Bucket
) -> None:
    """Retention removes all that it may and nothing else, in bounded batches; a second pass changes nothing."""
    await jobs.execute(YEAR, jobs.tenant, list(KINDS))
    await jobs.execute(BELONGINGS)
    year = await jobs.fetch("SELECT id, substr(traceparent, 6) AS kind, now() - created_at AS age FROM jobs")
    async with Jobs.connected(database) as others:
        bystanders = Bystanders(others)
        going_on = asyncio.create_task(bystanders.run())
        longest = await _run(loops)
        await _run(loops)
        bystanders.stop()
        await going_on
    assert longest < LONGEST_STATEMENT_SECONDS
    assert len(bystanders.finished) > 20
    kept = {row["id"] for row in year if _kept(row["kind"], row["age"])}
    assert await jobs.ids() == kept | bystanders.finished
    await _check_belongings(jobs, {row["id"]: row for row in year}, kept, bystanders.finished)
    await _check_objects(pool, jobs, bucket, {row["id"]: row for row in year}, kept)
    state = await jobs.fetch("SELECT id, version, outputs_removed_at FROM jobs ORDER BY id")
    await _run(loops)
    assert await jobs.fetch("SELECT id, version, outputs_removed_at FROM jobs ORDER BY id") == state


async def _check_belongings(jobs: Jobs, year: dict[UUID, Any], kept: set[UUID], others: set[UUID]) -> None:
    """Check that attempts, deliveries, letters and keys are kept by age, or because something refers to them."""

    async def owners(table: str) -> set[UUID]:
        return {row["job_id"] for row in await jobs.fetch(f"SELECT job_id FROM {table}")}

    tried = {job_id for job_id, row in year.items() if row["kind"] not in ("queued", "expired")}
    assert await owners("attempts") == others | {
        job_id
        for job_id in kept & tried
        if year[job_id]["age"] < ATTEMPTS_AGE or year[job_id]["kind"] in ("letter open", "running")
    }
    ended = {job_id for job_id, row in year.items() if row["kind"] not in ("queued", "running")}
    undelivered = {job_id for job_id, row in year.items() if row["kind"] == "undelivered"}
    assert undelivered - kept
    assert await owners("webhook_deliveries") == others | undelivered | {
        job_id for job_id in kept & ended if year[job_id]["age"] < DELIVERIES_AGE or year[job_id]["kind"] == "unsent"
    }
    assert await owners("dead_letters") == others | undelivered | {
        job_id
        for job_id, row in year.items()
        if row["kind"] in ("letter open", "letter closed lately")
        or (row["kind"] == "letter closed" and row["age"] < LETTERS_AGE)
    }
    assert await owners("idempotency_keys") == {
        job_id
        for job_id, row in year.items()
        if row["kind"] == "young key" or (row["kind"] == "key" and row["age"] < KEYS_AGE)
    }


async def _check_objects(pool: Database, jobs: Jobs, bucket: Bucket, year: dict[UUID, Any], kept: set[UUID]) -> None:
    """Check that old successes have no pictures any more, and that every job with objects is swept."""
    succeeded = {"plain", "twice", "unsent", "undelivered", "deleted", "key", "young key"}
    expired = {row["id"] for row in await jobs.fetch("SELECT id FROM jobs WHERE outputs_removed_at IS NOT NULL")}
    assert expired == {
        job_id for job_id in kept if year[job_id]["kind"] in succeeded and year[job_id]["age"] > PICTURES_AGE
    }
    due = {row["job_id"] for row in await jobs.fetch("SELECT job_id FROM object_sweeps")}
    assert expired <= due
    unswept = {"canceled", "letter closed", "letter closed lately"}
    assert {job_id for job_id, row in year.items() if row["kind"] in unswept and job_id not in kept} <= due
    assert not {job_id for job_id, row in year.items() if row["kind"] in ("expired", "queued", "running")} & due
    await jobs.execute("DELETE FROM object_sweeps WHERE random() < 0.97")
    sweep = SweepObjects(pool, Storage(storage_settings(bucket)))
    for _ in range(3):
        while await sweep.run_once():
            pass
        await jobs.execute("UPDATE object_sweeps SET due_at = now(), empty_since = empty_since - interval '1 hour'")
    assert await jobs.value("SELECT count(*) FROM object_sweeps") == 0
