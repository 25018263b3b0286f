"""Values that are too expensive to query for every request."""

import asyncio

import pytest

from chassis.errors import DatabaseUnavailableError
from status.sampled import KEPT_FRESH_SECONDS, LEAST_REST_SECONDS, REST_FACTOR, Sampled
from tests.support.waiting import eventually


class Source:
    """A look-up that counts its calls, takes a given time and can be held."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.now = 100.0
        self.seconds = seconds
        self.looked_up = 0
        self.away = False
        self.open = asyncio.Event()
        self.open.set()

    async def look_up(self) -> int:
        self.looked_up += 1
        await self.open.wait()
        self.now += self.seconds
        if self.away:
            raise DatabaseUnavailableError("gone")
        return self.looked_up

    def sampled(self) -> Sampled[int]:
        return Sampled(self.look_up, clock=lambda: self.now)


async def settle() -> None:
    """Let all tasks that are ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_callers_share_one_look_up() -> None:
    """Any number of callers share a single look-up."""
    source = Source()
    sampled = source.sampled()
    assert await asyncio.gather(*(sampled.get() for _ in range(50))) == [1] * 50
    assert source.looked_up == 1


async def test_a_rested_value_is_answered_while_the_next_is_looked_up() -> None:
    """No caller waits for a refresh while the last value is recent."""
    source = Source()
    sampled = source.sampled()
    await sampled.get()
    source.now += LEAST_REST_SECONDS
    assert await sampled.get() == 1
    await settle()
    assert await sampled.get() == 2
    assert source.looked_up == 2


async def test_a_value_too_old_is_waited_for() -> None:
    """After an hour without a caller, the first value is fresh."""
    source = Source()
    sampled = source.sampled()
    await sampled.get()
    source.now += 3600
    assert await sampled.get() == 2


async def test_a_value_asked_for_lately_is_kept_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An occasional caller never waits; without callers the refreshes stop."""
    monkeypatch.setattr("status.sampled.LEAST_REST_SECONDS", 0.01)
    source = Source()
    sampled = source.sampled()
    await sampled.get()
    await eventually(lambda: source.looked_up >= 3, what="the value is refreshed without being asked for")
    source.now += KEPT_FRESH_SECONDS
    await settle()
    looked_up = source.looked_up
    await asyncio.sleep(0.05)
    assert source.looked_up == looked_up


async def test_a_failed_look_up_is_not_repeated_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure the next look-up starts with the next caller."""
    monkeypatch.setattr("status.sampled.LEAST_REST_SECONDS", 0.01)
    source = Source()
    source.away = True
    await source.sampled().get()
    await asyncio.sleep(0.05)
    assert source.looked_up == 1


async def test_nobody_waits_long_for_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow look-up continues for later callers."""
    monkeypatch.setattr("status.sampled.LONGEST_WAIT_SECONDS", 0.01)
    source = Source()
    source.open.clear()
    sampled = source.sampled()
    assert await sampled.get() is None
    source.open.set()
    await settle()
    assert await sampled.get() == 1
    assert source.looked_up == 1


async def test_a_look_up_rests_for_a_multiple_of_what_it_took() -> None:
    """Its share of the database's time stays bounded, however large the backlog."""
    source = Source(seconds=3.0)
    sampled = source.sampled()
    await sampled.get()
    source.now += 3.0 * REST_FACTOR - 0.1
    await sampled.get()
    await settle()
    assert source.looked_up == 1
    source.now += 0.2
    await sampled.get()
    await settle()
    assert source.looked_up == 2


async def test_a_database_away_leaves_nothing_known_and_is_not_asked_at_once_again() -> None:
    """A failed look-up is followed by a rest like any other."""
    source = Source()
    sampled = source.sampled()
    source.away = True
    assert await sampled.get() is None
    source.away = False
    assert await sampled.get() is None
    assert source.looked_up == 1
    source.now += 2 * LEAST_REST_SECONDS
    assert await sampled.get() == 2


async def test_a_caller_that_goes_away_does_not_cancel_the_look_up() -> None:
    """The other callers still get its value."""
    source = Source()
    source.open.clear()
    sampled = source.sampled()
    leaver, stayer = asyncio.create_task(sampled.get()), asyncio.create_task(sampled.get())
    await settle()
    leaver.cancel()
    await settle()
    source.open.set()
    assert await stayer == 1
    assert source.looked_up == 1
