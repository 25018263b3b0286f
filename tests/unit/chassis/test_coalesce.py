"""Coalesced look-ups: concurrent look-ups share a query."""

import asyncio
from collections.abc import Mapping

import pytest

from chassis.coalesce import Coalescer
from chassis.errors import DatabaseBusyError, DatabaseUnavailableError

TOGETHER = 4


class Source:
    """A look-up of numbers. A test sees each query, holds it, releases it, or makes it fail."""

    def __init__(self) -> None:
        self.queries: list[list[int]] = []
        self.error: Exception | None = None
        self.away_after: int | None = None
        self.refused: set[int] = set()
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def look_up(self, keys: list[int]) -> Mapping[int, str]:
        self.queries.append(keys)
        self.begun.set()
        await self.open.wait()
        if self.error:
            raise self.error
        if self.away_after is not None and len(self.queries) > self.away_after:
            raise DatabaseUnavailableError("gone")
        if self.refused & set(keys):
            raise ValueError("one of them can't be looked up")
        return {key: str(key) for key in keys if key}


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def coalescer(source: Source) -> Coalescer[int, str]:
    return Coalescer(source.look_up, most_together=TOGETHER)


def asking(coalescer: Coalescer[int, str], *keys: int) -> list[asyncio.Task[str | None]]:
    return [asyncio.create_task(coalescer.find(key)) for key in keys]


async def outcomes(tasks: list[asyncio.Task[str | None]]) -> list[object]:
    """Return the values, and the types of the errors."""
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(result) if isinstance(result, BaseException) else result for result in results]


async def test_keys_asked_for_together_share_a_query(coalescer: Coalescer[int, str], source: Source) -> None:
    """Every caller gets the value of its key, or None for a key without a value."""
    assert await outcomes(asking(coalescer, 0, 1, 2, 1)) == [None, "1", "2", "1"]
    assert source.queries == [[0, 1, 2]]


async def test_a_query_under_way_is_never_joined(coalescer: Coalescer[int, str], source: Source) -> None:
    """A caller does not join a running query, which may have read older data."""
    source.open.clear()
    first = asking(coalescer, 1)
    await source.begun.wait()
    second = asking(coalescer, 1, 1)
    await asyncio.sleep(0)
    source.open.set()
    assert await outcomes(first + second) == ["1"] * 3
    assert source.queries == [[1], [1]]


async def test_one_query_runs_at_a_time(coalescer: Coalescer[int, str], source: Source) -> None:
    """Queries run one at a time, each with a bounded number of keys, the oldest first."""
    assert await outcomes(asking(coalescer, *range(1, 10))) == [str(key) for key in range(1, 10)]
    assert source.queries == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]


async def test_a_key_that_breaks_the_query_fails_alone(coalescer: Coalescer[int, str], source: Source) -> None:
    """After a query failed, its keys are looked up one by one, before later keys."""
    source.refused = {2}
    assert await outcomes(asking(coalescer, 1, 2, 3, 4, 5)) == ["1", ValueError, "3", "4", "5"]
    assert source.queries == [[1, 2, 3, 4], [1], [2], [3], [4], [5]]


@pytest.mark.parametrize("error", [DatabaseUnavailableError("gone"), DatabaseBusyError("full"), TimeoutError()])
async def test_all_who_wait_are_told_when_the_database_fails(
    coalescer: Coalescer[int, str], source: Source, error: Exception
) -> None:
    """All waiting keys fail with the first query, and later keys are looked up again."""
    source.open.clear()
    source.error = error
    tasks = asking(coalescer, *range(1, 10))
    await source.begun.wait()
    source.open.set()
    expected = DatabaseBusyError if isinstance(error, DatabaseBusyError) else DatabaseUnavailableError
    assert await outcomes(tasks) == [expected] * 9
    assert len(source.queries) == 1
    source.error = None
    assert await coalescer.find(1) == "1"


async def test_keys_that_are_looked_up_alone_are_told_too(coalescer: Coalescer[int, str], source: Source) -> None:
    """An outage during the look-ups of single keys fails the remaining ones, too."""
    source.refused = {2}
    source.away_after = 2
    expected = ["1", DatabaseUnavailableError, DatabaseUnavailableError]
    assert await outcomes(asking(coalescer, 1, 2, 3)) == expected
    assert source.queries == [[1, 2, 3], [1], [2]]


async def test_a_look_up_is_never_in_doubt(coalescer: Coalescer[int, str], source: Source) -> None:
    """The error of a look-up has `in_doubt` False, because nothing was written."""
    source.error = DatabaseUnavailableError("gone")
    with pytest.raises(DatabaseUnavailableError) as caught:
        await coalescer.find(1)
    assert not caught.value.in_doubt


async def test_a_silent_database_is_given_up_on(
    coalescer: Coalescer[int, str], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All waiting callers get an error when the query reaches its time limit."""
    monkeypatch.setattr("chassis.coalesce.PATIENCE_SECONDS", 0.05)
    source.open.clear()
    assert await outcomes(asking(coalescer, *range(1, 10))) == [DatabaseUnavailableError] * 9
    assert len(source.queries) == 1


async def test_a_key_whose_turn_comes_too_late_is_refused(
    coalescer: Coalescer[int, str], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key whose query does not start in time fails, although the database answers."""
    source.open.clear()
    first = asking(coalescer, 1)
    await source.begun.wait()
    late = asking(coalescer, *range(2, 8))
    await asyncio.sleep(0)
    monkeypatch.setattr("chassis.coalesce.PATIENCE_SECONDS", -1.0)
    source.open.set()
    assert await outcomes(first + late) == ["1"] + [DatabaseBusyError] * 6
    assert source.queries == [[1]]


async def test_only_so_many_wait(
    coalescer: Coalescer[int, str], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers beyond the limit are refused at once, and a canceled caller frees its place."""
    monkeypatch.setattr("chassis.coalesce.MOST_WAITING", 3)
    source.open.clear()
    tasks = asking(coalescer, 1, 1, 2)
    await source.begun.wait()
    with pytest.raises(DatabaseBusyError):
        await coalescer.find(3)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    tasks += asking(coalescer, 3)
    await asyncio.sleep(0)
    source.open.set()
    assert await outcomes(tasks[1:]) == ["1", "2", "3"]


async def test_a_caller_that_goes_away_takes_nothing_from_the_others(
    coalescer: Coalescer[int, str], source: Source
) -> None:
    """A canceled caller affects neither callers of the same key nor later ones."""
    source.open.clear()
    leaver, stayer = asking(coalescer, 1, 1)
    await source.begun.wait()
    leaver.cancel()
    source.open.set()
    assert await stayer == "1"
    assert await coalescer.find(2) == "2"
