"""Single-flight: concurrent calls with the same key share one execution."""

import asyncio
from collections import Counter

import pytest

from chassis.single_flight import SingleFlight


class Called:
    """Counts calls by key. A test holds and releases them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.error: Exception | None = None
        self.begun = asyncio.Event()
        self.open = asyncio.Event()

    async def call(self, key: str) -> int:
        self.calls[key] += 1
        number = self.calls[key]
        self.begun.set()
        await self.open.wait()
        if self.error:
            raise self.error
        return number


@pytest.fixture
def called() -> Called:
    return Called()


@pytest.fixture
def flights(called: Called) -> SingleFlight[str, int]:
    return SingleFlight(called.call)


async def test_calls_that_come_together_are_one(flights: SingleFlight[str, int], called: Called) -> None:
    """Concurrent calls share an execution per key."""
    called.open.set()
    assert await asyncio.gather(*(flights.call(key) for key in "aaabb")) == [1] * 5
    assert called.calls == {"a": 1, "b": 1}


async def test_a_call_under_way_is_not_joined(flights: SingleFlight[str, int], called: Called) -> None:
    """Callers that arrive during a call share the next one, which starts when the first is finished."""
    first = asyncio.create_task(flights.call("a"))
    await called.begun.wait()
    later = [asyncio.create_task(flights.call("a")) for _ in range(1000)]
    await asyncio.sleep(0)
    assert called.calls["a"] == 1
    called.open.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 1000
    assert called.calls["a"] == 2


async def test_a_call_under_way_is_joined_where_that_is_wanted(called: Called) -> None:
    """With `join_running` callers share the running call, and a later caller starts a new one."""
    flights = SingleFlight(called.call, join_running=True)
    first = asyncio.create_task(flights.call("a"))
    await called.begun.wait()
    later = [asyncio.create_task(flights.call("a")) for _ in range(10)]
    await asyncio.sleep(0)
    called.open.set()
    assert await asyncio.gather(first, *later) == [1] * 11
    assert await flights.call("a") == 2


async def test_keys_do_not_wait_for_each_other(flights: SingleFlight[str, int], called: Called) -> None:
    """A call that hangs does not delay calls with other keys."""
    hanging = asyncio.create_task(flights.call("a"))
    await called.begun.wait()
    called.open.set()
    assert await flights.call("b") == 1
    assert await hanging == 1


async def test_an_error_reaches_all_who_share_the_call(flights: SingleFlight[str, int], called: Called) -> None:
    """An error reaches the callers of its call only, and the next caller starts a new call."""
    called.error = RuntimeError("no")
    called.open.set()
    results = await asyncio.gather(*(flights.call("a") for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    called.error = None
    assert await flights.call("a") == 2


async def test_a_caller_that_goes_away_cancels_nothing(flights: SingleFlight[str, int], called: Called) -> None:
    """A call continues when one of its callers is canceled."""
    leaver, stayer = (asyncio.create_task(flights.call("a")) for _ in range(2))
    await called.begun.wait()
    leaver.cancel()
    called.open.set()
    assert await stayer == 1


async def test_nothing_is_remembered_of_calls_that_are_over(flights: SingleFlight[str, int], called: Called) -> None:
    """Finished calls leave no state behind, because the number of keys is unbounded."""
    called.open.set()
    await asyncio.gather(*(flights.call(str(number % 10)) for number in range(100)))
    assert not flights._running
    assert not flights._following
