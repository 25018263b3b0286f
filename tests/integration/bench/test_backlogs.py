"""Backlogs written by SQL equal those that the services write."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from bench.backlogs import Backlog, fill, job_paths
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.states import JobStatus
from status.store import PlacedJob, Store
from tests.support.keys import insert_key

Found = dict[str, list[PlacedJob]]
BACKLOG = Backlog(model="tiny", queued=20, succeeded=5, span=timedelta(days=3))


@pytest.fixture
async def found(database: str, rows: asyncpg.Connection) -> Found:
    """Return all jobs of the backlog by status, as the status service reads them, oldest first."""
    await insert_key(rows, "default")
    await fill(rows, BACKLOG, print)
    async with Database(DatabaseSettings(database_url=database), "test") as pool:
        ids = [row["id"] for row in await rows.fetch("SELECT id FROM jobs")]
        found = await Store(pool).find_jobs(ids)
    jobs = [job for job in found.values() if isinstance(job, PlacedJob)]
    assert len(jobs) == len(ids)
    by_id = sorted(jobs, key=lambda job: job.id)
    return {status: [job for job in by_id if job.status == status] for status in ("queued", "succeeded")}


async def test_a_backlog_waits_in_the_order_of_its_ids(found: Found) -> None:
    """Ids are UUIDv7 of the time at which the job was queued, and the outbox is empty."""
    queued = found["queued"]
    assert [job.ahead for job in queued] == list(range(BACKLOG.queued))
    for job in queued:
        assert job.id.version == 7
        assert abs(job.id.int >> 80) - int(job.queued_at.timestamp() * 1000) in (-1, 0, 1)
    assert timedelta(days=2.8) < queued[-1].queued_at - queued[0].queued_at < BACKLOG.span


async def test_finished_jobs_have_their_pictures(found: Found, rows: asyncpg.Connection) -> None:
    """A finished job has outputs, a receipt and an attempt, everything that a response contains."""
    for job in found["succeeded"]:
        assert len(job.outputs) == 1
        assert job.receipt is not None
        assert job.status == JobStatus.SUCCEEDED
    assert await rows.fetchval("SELECT count(*) FROM attempts WHERE outcome = 'succeeded'") == BACKLOG.succeeded


async def test_jobs_to_ask_for_lie_deep_in_the_queue(found: Found, rows: asyncpg.Connection) -> None:
    """The paths are those of the younger half of the queue, each once."""
    paths = await job_paths(rows, at_most=1000)
    asked_for = {UUID(path.rpartition("/")[2]) for path in paths["queued"]}
    assert asked_for == {job.id for job in found["queued"][BACKLOG.queued // 2 :]}
    assert len(paths["queued"]) == len(asked_for)
    assert len(paths["succeeded"]) == BACKLOG.succeeded


async def test_a_backlog_replaces_what_was_there(found: Found, rows: asyncpg.Connection) -> None:
    """A backlog that is filled again has its length again."""
    await fill(rows, BACKLOG, print)
    assert await rows.fetchval("SELECT count(*) FROM jobs") == BACKLOG.queued + BACKLOG.succeeded
