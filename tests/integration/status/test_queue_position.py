"""The queue position: exact up to 1,000 and sampled beyond, at a cost that does not grow with the backlog."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings, load
from status.store import EXACT_UP_TO, PlacedJob, Store, queries
from tests.integration.status.jobs import TenantJobs
from tests.support.plans import Plan, buffers, explain, nodes, scans_of

MOST_COUNTED = EXACT_UP_TO + 1


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    settings = load(DatabaseSettings, {"DARKROOM_DATABASE_URL": database})
    async with Database(settings, "test") as pool:
        yield Store(pool)


@pytest.fixture(autouse=True)
async def tended_by_hand(rows: asyncpg.Connection) -> None:
    """Leave vacuum and statistics to the tests: whether autovacuum comes between two plans is chance."""
    await rows.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")


async def told(client: httpx2.AsyncClient, job_id: UUID) -> dict[str, Any]:
    answer = await client.get(f"/v1/jobs/{job_id}")
    body: dict[str, Any] = answer.json()
    return body


async def test_positions_are_counted_within_the_model(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Jobs of another model do not count."""
    ours = await jobs.queue(3)
    await jobs.queue(5, model="other")
    assert [(await told(client, job_id))["queue_position"] for job_id in ours] == [0, 1, 2]


async def test_a_job_moves_up_when_one_before_it_leaves(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """The count is current, not sampled."""
    first, second, third = await jobs.queue(3)
    await jobs.claim(first)
    assert (await told(client, third))["queue_position"] == 1
    await jobs.claim(second)
    assert (await told(client, third))["queue_position"] == 0


async def test_other_tenants_jobs_count_too(
    client: httpx2.AsyncClient, jobs: TenantJobs, strangers: TenantJobs
) -> None:
    """All tenants share the queue; the number does not reveal whose jobs they are."""
    await strangers.queue(4)
    (ours,) = await jobs.queue()
    assert (await told(client, ours))["queue_position"] == 4


@pytest.mark.parametrize(("place", "shown"), [(999, 999), (1000, 1000), (1001, 1001), (2345, 2300)])
async def test_the_position_is_exact_up_to_a_thousand_and_near_beyond(
    client: httpx2.AsyncClient, jobs: TenantJobs, place: int, shown: int
) -> None:
    """Beyond, it is the place of the last mark before the job; marks are a hundred places apart."""
    queue = await jobs.queue(2500)
    assert (await told(client, queue[place]))["queue_position"] == shown


async def test_a_job_newer_than_the_sample_stands_at_least_behind_a_thousand(
    client: httpx2.AsyncClient, jobs: TenantJobs
) -> None:
    """A sample that is older than the job does not lower the counted position."""
    queue = await jobs.queue(1100)
    await told(client, queue[-1])
    newcomers = await jobs.queue(1100)
    assert (await told(client, newcomers[-1]))["queue_position"] >= MOST_COUNTED


async def test_the_start_is_estimated_from_recent_jobs(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """With two workers and half an hour for each job, the fifth in the queue starts in a bit over an hour."""
    for worker in ("worker-1", "worker-2"):
        (done,) = await jobs.queue()
        await jobs.succeed(done, await jobs.claim(done, worker))
        await jobs.backdate_start(done, timedelta(minutes=30))
    queue = await jobs.queue(5)
    starts_at = datetime.fromisoformat((await told(client, queue[4]))["estimated_start_at"])
    assert timedelta(minutes=65) < starts_at - datetime.now(UTC) < timedelta(minutes=70)


async def test_the_start_is_unknown_without_recent_jobs(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """Without recent successes of the model the estimate is null."""
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
        scan, rest = scans_of(plan, "jobs_waiting")
        assert (scan["Node Type"], scan["Scan Direction"]) == ("Index Only Scan", "Backward")
        assert scan["Actual Rows"] == MOST_COUNTED
        assert rest["Actual Rows"] == 0  # nothing is missing from the count
        assert not [node for node in nodes(plan) if node["Node Type"] in ("Seq Scan", "Sort")]
    for before, after in zip(small, large, strict=True):
        assert buffers(after) <= buffers(before) + 5


async def test_jobs_asked_for_together_each_get_their_own_place(jobs: TenantJobs, store: Store) -> None:
    """Jobs of a model share a count: near and far ones, and jobs that do not wait."""
    ours, others = await jobs.queue(1_100), await jobs.queue(3, model="other")
    (done,) = await jobs.queue(1, model="third")
    await jobs.succeed(done, await jobs.claim(done))
    wanted = [ours[990], others[2], ours[5], done, ours[1001], ours[1000], others[0], ours[1099], ours[1]]
    found = await store.find_jobs(wanted)
    shown = [row.ahead for job_id in wanted if isinstance(row := found[job_id], PlacedJob)]
    assert shown == [990, 2, 5, None, MOST_COUNTED, 1000, 0, MOST_COUNTED, 1]


@pytest.mark.parametrize("places", [[3, 700, 1999], [700, 701, 702], [1500, 1600, 1999]])
async def test_jobs_asked_for_together_cost_one_count(
    rows: asyncpg.Connection, jobs: TenantJobs, places: list[int]
) -> None:
    """At any positions, 1,001 entries are read for all of them together."""
    queue = await jobs.queue(2_000)
    for vacuum in ("VACUUM jobs", "VACUUM ANALYZE jobs"):
        for plan in await _costs_of([queue[place] for place in places], rows, vacuum):
            read = [scan["Actual Rows"] * scan["Actual Loops"] for scan in scans_of(plan, "jobs_waiting")]
            assert sum(read) <= MOST_COUNTED


async def _costs_of_last(rows: asyncpg.Connection, queue: list[UUID], vacuum: str) -> list[Plan]:
    """Return the plans for the last job of the queue."""
    return await _costs_of(queue[-1:], rows, vacuum)


async def _costs_of(wanted: list[UUID], rows: asyncpg.Connection, vacuum: str) -> list[Plan]:
    """Return the plans for jobs that are read together: a custom one and the generic one."""
    await rows.execute(vacuum)
    ids = f"'{{{','.join(map(str, wanted))}}}'"
    return [await explain(rows, queries.find_jobs.sql, ids, generic=generic) for generic in (False, True)]


async def test_the_sample_reads_the_index_alone(rows: asyncpg.Connection, jobs: TenantJobs) -> None:
    """It reads the whole queue, so it must not read the rows themselves."""
    await jobs.queue(5_000)
    await rows.execute("VACUUM ANALYZE jobs")
    plan = await explain(rows, queries.sample_queue.sql, "'tiny'")
    (scan,) = scans_of(plan, "jobs_waiting")
    assert (scan["Node Type"], scan["Heap Fetches"]) == ("Index Only Scan", 0)


async def test_measuring_the_pace_looks_at_fifty_jobs_at_the_most(
    rows: asyncpg.Connection, jobs: TenantJobs, store: Store
) -> None:
    """The number of recent successes does not matter."""
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
    """This is close enough for jobs behind a thousand others."""
    queue = await jobs.queue(250)
    assert [(mark.id, mark.place) for mark in await store.sample_queue("tiny")] == [
        (queue[0], 0),
        (queue[100], 100),
        (queue[200], 200),
    ]


async def test_marks_lie_further_apart_deeper_in_the_queue(jobs: TenantJobs, store: Store) -> None:
    """The sample of a long queue must not block the event loop."""
    await jobs.queue(12_500)
    places = [mark.place for mark in await store.sample_queue("tiny")]
    assert places == [*range(0, 10_000, 100), 10_000, 11_000, 12_000]
