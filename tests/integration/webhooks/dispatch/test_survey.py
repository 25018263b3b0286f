"""Many destinations: a round looks at few of them, and none that works waits for those that don't."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest

from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always, open_receiver
from tests.support.waiting import eventually
from webhooks.dispatch import rounds, survey, walking
from webhooks.dispatch.allotment import Limits

LOCK_ENDPOINTS = "SELECT id FROM webhook_endpoints WHERE NOT implicit FOR UPDATE"
AN_HOUR_AGO = "UPDATE webhook_deliveries SET id = uuidv7(interval '-1 hour') WHERE attempt = 0"
WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "PAGE", 2)


async def end_many(shop: Shop, dispatch: Dispatch) -> None:
    """Record deliveries to more receivers that fail than fit into a page, an hour ago, and look at the first page."""
    for number in range(5):
        await shop.standing(f"https://10.0.0.{number}/denied")
    await shop.end(None)
    await shop.execute(AN_HOUR_AGO)
    await dispatch.dispatcher.run_once()
    await dispatch.flights.drain()


@asynccontextmanager
async def other_shop(database: str) -> AsyncIterator[Shop]:
    """Make another tenant, on a connection of its own."""
    connection = await asyncpg.connect(database)
    yield await Shop.open(connection)
    await connection.close()


async def dispatcher_round(dispatch: Dispatch) -> None:
    """Run rounds of the dispatcher alone, until none is due that has room."""
    while await dispatch.dispatcher.run_once():
        await dispatch.flights.drain()
    await dispatch.flights.drain()


async def test_a_new_delivery_needs_no_page(shop: Shop, dispatch: Dispatch, receiver: Receiver) -> None:
    """It is found by its age."""
    await end_many(shop, dispatch)
    other = await shop.another()
    await other.end(receiver.url)
    await dispatcher_round(dispatch)
    assert len(receiver.requests) == 1


async def test_a_backlog_needs_no_page(
    shop: Shop, dispatch: Dispatch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that works is served until nothing is left, however old the rest is."""
    await end_many(shop, dispatch)
    other = await shop.another()
    await other.end(receiver.url, 100)
    await dispatch.dispatcher.run_once()
    await dispatch.flights.drain()
    assert len(receiver.requests) == 1, "the first shows whether it works"
    await dispatch.dispatcher.run_once()
    monkeypatch.setattr(survey, "RECENT_SECONDS", 0.0)
    await dispatch.flights.drain()
    await dispatcher_round(dispatch)
    assert len(receiver.requests) == 100


async def walk(dispatch: Dispatch) -> None:
    """Look at every page once."""
    for _ in range(4):
        await dispatch.walker.run_once()
        await dispatch.flights.drain()


async def test_the_walk_finds_what_is_old_and_leaves_its_backlog_to_the_dispatcher(
    shop: Shop, dispatch: Dispatch, receiver: Receiver
) -> None:
    """A first delivery shows that the receiver works; its further ones wait for no other page."""
    await end_many(shop, dispatch)
    other = await shop.another()
    await other.end(receiver.url, 100)
    await shop.execute(AN_HOUR_AGO)
    await dispatcher_round(dispatch)
    assert not receiver.requests
    await walk(dispatch)
    assert len(receiver.requests) == 1
    await dispatcher_round(dispatch)
    assert len(receiver.requests) == 100


@pytest.mark.parametrize(("seconds", "pause"), [(0.0001, 0.05), (0.004, 0.4), (3.0, 1.0)])
async def test_the_walk_takes_a_small_part_of_the_time(
    shop: Shop, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch, seconds: float, pause: float
) -> None:
    """The longer a page takes, the longer is the pause after it, within bounds. The first walk is quick."""
    await end_many(shop, dispatch)
    times = count(step=seconds)
    monkeypatch.setattr(walking, "monotonic", lambda: next(times))
    await dispatch.walker.run_once()
    assert dispatch.walker.interval == walking.SHORTEST_SECONDS
    await walk(dispatch)
    assert dispatch.walker.interval == pytest.approx(pause)


@asynccontextmanager
async def a_page_that_waits(dispatch: Dispatch, rows: asyncpg.Connection) -> AsyncIterator[None]:
    """Let a round of the walker stand still in its claim, by locks on the endpoints that it is to write."""
    async with rows.transaction():
        await rows.execute(LOCK_ENDPOINTS)
        page = asyncio.create_task(dispatch.walker.run_once())
        await eventually(lambda: rows.fetchval(WAITING), what="the page waits")
        yield
    await page
    await dispatch.flights.drain()


async def test_the_dispatcher_waits_for_no_page(
    shop: Shop, dispatch: Dispatch, receiver: Receiver, rows: asyncpg.Connection, database: str
) -> None:
    """Deliveries to receivers that work leave while a round of the walker stands still."""
    await end_many(shop, dispatch)
    async with a_page_that_waits(dispatch, rows):
        async with other_shop(database) as other:
            await other.end(receiver.url)
        await dispatcher_round(dispatch)
        assert len(receiver.requests) == 1
    assert len(await shop.attempts()) == 5, "two of the first page, two of the next, and the receiver's"


async def test_a_page_keeps_the_room_that_it_claims(
    shop: Shop, receiver: Receiver, rows: asyncpg.Connection, database: str
) -> None:
    """A round that runs beside it does not give the room away once more."""
    async with open_dispatch(database, limits=Limits(total=2, per_tenant=2, per_origin=2)) as dispatch:
        await end_many(shop, dispatch)
        async with a_page_that_waits(dispatch, rows):
            assert dispatch.flights.in_flight.total == 1
            async with other_shop(database) as other:
                await other.end(receiver.url)
            await dispatcher_round(dispatch)
            assert not receiver.requests, "the unproven share half of the room, which is reserved"
        assert dispatch.flights.in_flight.total == 0
        await dispatcher_round(dispatch)
        assert len(receiver.requests) == 1


async def test_a_round_begins_with_few_of_the_unproven(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewest of those that failed before, so that they take no time from the others."""
    monkeypatch.setattr(survey, "PAGE", 100)
    monkeypatch.setattr(rounds, "UNKNOWN_PER_ROUND", 2)
    monkeypatch.setattr(rounds, "FAILED_PER_ROUND", 1)
    async with open_receiver() as broken:
        broken.behave = always(500)
        for _ in range(3):
            await (await shop.another()).end(broken.url)
        await dispatch.round()
        assert len(broken.requests) == 3
        await shop.make_due()
        for _ in range(3):
            await (await shop.another()).end(receiver.url)
        await dispatch.dispatcher.run_once()
        await dispatch.flights.drain()
        assert (len(receiver.requests), len(broken.requests)) == (2, 4)
        await dispatch.round()
        assert (len(receiver.requests), len(broken.requests)) == (3, 6)
