"""The place in the queue: exact up to 1,000, sampled beyond, at a cost that does not grow with the backlog."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings, load
from status.store import EXACT_UP_TO, Store, queries
from tests.integration.status.jobs import TenantJobs
from tests.support.plans import Plan, buffers, explain, nodes, scans_of

MOST_COUNTED = EXACT_UP_TO + 1


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    settings = load(DatabaseSettings, {"DARKROOM_DATABASE_URL": database})
    async with Database(settings, "test") as pool:
        yield Store(pool)


async def told(client: httpx.AsyncClient, job_id: UUID) -> dict[str, Any]:
    answer = await client.get(f"/v1/jobs/{job_id}")
    body: dict[str, Any] = answer.json()
    return body


async def test_positions_are_counted_within_the_model(client: httpx.AsyncClient, jobs: TenantJobs) -> None:
    """Another model's jobs wait for another worker."""
    ours = await jobs.queue(3)
    await jobs.queue(5, model="other")
    assert [(await told(client, job_id))["queue_position"] for job_id in ours] == [0, 1, 2]


async def test_a_job_moves_up_when_one_before_it_leaves(client: httpx.AsyncClient, jobs: TenantJobs) -> None:
    """The count is of this moment, not of a sample."""
    first, second, third = await jobs.queue(3)
    await jobs.claim(first)
    assert (await told(client, third))["queue_position"] == 1
    await jobs.claim(second)
    assert (await told(client, third))["queue_position"] == 0


async def test_other_tenants_jobs_count_too(client: httpx.AsyncClient, jobs: TenantJobs, strangers: TenantJobs) -> None:
    """The queue is one; the number tells nothing of whose jobs they are."""
    await strangers.queue(4)
    (ours,) = await jobs.queue()
    assert (await told(client, ours))["queue_position"] == 4


@pytest.mark.parametrize(("place", "shown"), [(999, 999), (1000, 1000), (1001, 1001), (2345, 2300)])
async def test_the_position_is_exact_up_to_a_thousand_and_near_beyond(
    client: httpx.AsyncClient, jobs: TenantJobs, place: int, shown: int
) -> None:
    """Beyond, it is that of the last mark before the job; marks lie a hundred apart."""
    queue = await jobs.queue(2500)
    assert (await told(client, queue[place]))["queue_position"] == shown


async def test_a_job_newer_than_the_sample_stands_at_least_behind_a_thousand(
    client: httpx.AsyncClient, jobs: TenantJobs
) -> None:
    """A sample that is too old for the job must not make it look nearer than it was counted to be."""
    queue = await jobs.queue(1100)
    await told(client, queue[-1])
    newcomers = await jobs.queue(1100)
    assert (await told(client, newcomers[-1]))["queue_position"] >= MOST_COUNTED


async def test_the_start_is_estimated_from_recent_jobs(client: httpx.AsyncClient, jobs: TenantJobs) -> None:
    """Two workers that took about half an hour a job: the fifth in the queue starts in a bit over an hour."""
    for worker in ("worker-1", "worker-2"):
        (done,) = await jobs.queue()
        await jobs.succeed(done, await jobs.claim(done, worker))
        await jobs.backdate_start(done, timedelta(minutes=30))
    queue = await jobs.queue(5)
    starts_at = datetime.fromisoformat((await told(client, queue[4]))["estimated_start_at"])
    assert timedelta(minutes=65) < starts_at - datetime.now(UTC) < timedelta(minutes=70)


async def test_the_start_is_unknown_without_recent_jobs(client: httpx.AsyncClient, jobs: TenantJobs) -> None:
    """No job of the model succeeded lately, so nothing is made up."""
    (job_id,) = await jobs.queue()
    assert (await told(client, job_id))["estimated_start_at"] is None


@pytest.mark.parametrize("analyzed_when", ["empty", "full"])
async def test_counting_costs_the_same_however_long_the_backlog(
    rows: asyncpg.Connection, jobs: TenantJobs, analyzed_when: str
) -> None:
    """It reads at most 1,001 entries of one index, and no more pages at 20,000 jobs than at 2,000.

    The statistics may be from before the backlog came: a burst is faster than the next analyze.
    """
    await rows.execute("ANALYZE jobs")
    vacuum = "VACUUM ANALYZE jobs" if analyzed_when == "full" else "VACUUM jobs"
    small = await _costs_of_last(rows, await jobs.queue(2_000), vacuum)
    large = await _costs_of_last(rows, await jobs.queue(18_000), vacuum)
    for plan in (*small, *large):
        (scan,) = scans_of(plan, "jobs_waiting")
        assert (scan["Node Type"], scan["Scan Direction"]) == ("Index Only Scan", "Backward")
        assert scan["Actual Rows"] == MOST_COUNTED
        assert not [node for node in nodes(plan) if node["Node Type"] in ("Seq Scan", "Sort")]
    for before, after in zip(small, large, strict=True):
        assert buffers(after) <= buffers(before) + 5


async def _costs_of_last(rows: asyncpg.Connection, queue: list[UUID], vacuum: str) -> list[Plan]:
    """The plans for the job at the queue's end: the one made for it, and the generic one."""
    await rows.execute(vacuum)
    ids = f"'{{{queue[-1]}}}'"
    return [await explain(rows, queries.find_jobs.sql, ids, generic=generic) for generic in (False, True)]


async def test_the_sample_reads_the_index_alone(rows: asyncpg.Connection, jobs: TenantJobs) -> None:
    """It walks the whole queue, so it must not touch the rows themselves."""
    await jobs.queue(5_000)
    await rows.execute("VACUUM ANALYZE jobs")
    plan = await explain(rows, queries.sample_queue.sql, "'tiny'")
    (scan,) = scans_of(plan, "jobs_waiting")
    assert (scan["Node Type"], scan["Heap Fetches"]) == ("Index Only Scan", 0)


async def test_measuring_the_pace_looks_at_fifty_jobs_at_the_most(
    rows: asyncpg.Connection, jobs: TenantJobs, store: Store
) -> None:
    """However many succeeded lately."""
    for job_id in await jobs.queue(120):
        await jobs.succeed(job_id, await jobs.claim(job_id))
    await rows.execute("VACUUM ANALYZE jobs")
    plan = await explain(rows, queries.measure_pace.sql, "'tiny'")
    (scan,) = scans_of(plan, "jobs_finished")
    assert scan["Actual Rows"] == 50
    pace = await store.measure_pace("tiny")
    assert pace is not None
    assert pace.workers == 1


async def test_marks_lie_a_hundred_apart_in_the_queue_s_order(jobs: TenantJobs, store: Store) -> None:
    """The sample's size is a hundredth of the queue's."""
    queue = await jobs.queue(250)
    assert [(mark.id, mark.place) for mark in await store.sample_queue("tiny")] == [
        (queue[0], 0),
        (queue[100], 100),
        (queue[200], 200),
    ]
