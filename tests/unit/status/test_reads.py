"""Concurrent reads share a query."""

import asyncio
from uuid import UUID

import pytest

from chassis.errors import DatabaseUnavailableError
from status.reads import MOST_TOGETHER, JobReads
from status.store import PlacedJob
from tests.support.job_rows import job_row, numbered


class HeldStore:
    """A stand-in for the store whose queries wait until the test continues them."""

    def __init__(self) -> None:
        self.queries: list[list[UUID]] = []
        self.fails = False
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def find_jobs(self, ids: list[UUID]) -> dict[UUID, PlacedJob]:
        self.queries.append(ids)
        self.begun.set()
        await self.open.wait()
        if self.fails:
            raise DatabaseUnavailableError("gone")
        return {job_id: job_row(id=job_id) for job_id in ids if job_id.int}


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def reads(store: HeldStore) -> JobReads:
    return JobReads(store)  # type: ignore[arg-type]


async def test_reads_at_once_go_in_one_query(reads: JobReads, store: HeldStore) -> None:
    """Each read gets its own row, or None if the job does not exist."""
    store.open.set()
    rows = await asyncio.gather(*(reads.find(numbered(number)) for number in (0, 1, 2, 1)))
    assert [row.id if isinstance(row, PlacedJob) else row for row in rows] == [
        None,
        numbered(1),
        numbered(2),
        numbered(1),
    ]
    assert store.queries == [[numbered(0), numbered(1), numbered(2)]]


async def test_a_read_never_joins_a_query_under_way(reads: JobReads, store: HeldStore) -> None:
    """A client that has just changed its job sees the change: a running query may be older."""
    first = asyncio.create_task(reads.find(numbered(1)))
    await store.begun.wait()
    second = asyncio.create_task(reads.find(numbered(1)))
    await asyncio.sleep(0)
    store.open.set()
    await asyncio.gather(first, second)
    assert store.queries == [[numbered(1)], [numbered(1)]]


async def test_a_query_takes_a_bounded_number_of_ids(reads: JobReads, store: HeldStore) -> None:
    """The rest is part of the next query."""
    store.open.set()
    await asyncio.gather(*(reads.find(numbered(number)) for number in range(1, MOST_TOGETHER + 8)))
    assert [len(query) for query in store.queries] == [MOST_TOGETHER, 7]


async def test_all_who_shared_a_failed_query_are_told(reads: JobReads, store: HeldStore) -> None:
    """The next query is independent of the failure."""
    store.open.set()
    store.fails = True
    failures = await asyncio.gather(*(reads.find(numbered(n)) for n in (1, 2)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [DatabaseUnavailableError] * 2
    store.fails = False
    assert await reads.find(numbered(1)) is not None


async def test_a_reader_that_goes_away_takes_nothing_from_the_others(reads: JobReads, store: HeldStore) -> None:
    """Other reads of the same job, and later ones, still get their rows."""
    leaver, stayer = (asyncio.create_task(reads.find(numbered(1))) for _ in range(2))
    await store.begun.wait()
    leaver.cancel()
    store.open.set()
    assert await stayer is not None
    assert await reads.find(numbered(2)) is not None
