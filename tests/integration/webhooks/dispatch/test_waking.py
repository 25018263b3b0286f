"""How a dispatcher notices deliveries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from chassis.settings import DatabaseSettings
from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from webhooks.dispatch import dispatcher
from webhooks.dispatch.schedule import LENGTH
from webhooks.dispatch.waking import Listener

LISTENING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'darkroom-webhooks-listener'
"""


@asynccontextmanager
async def running(dispatch: Dispatch, *loops: Listener) -> AsyncIterator[None]:
    """Run a dispatcher and its listeners until the context ends."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(loop.run(stop)) for loop in (dispatch.dispatcher, *loops)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


@pytest.fixture
def only_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no poll find anything in a test's time."""
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(dispatcher, "QUICK_FOR_SECONDS", 0.0)


@pytest.mark.usefixtures("only_notifications")
async def test_a_commit_wakes_an_idle_dispatcher(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str, rows: asyncpg.Connection
) -> None:
    """Without a poll."""
    listener = Listener(DatabaseSettings(database_url=database), dispatch.dispatcher.notice)
    async with running(dispatch, listener):
        await eventually(lambda: dispatch.dispatcher.interval > 1, what="the dispatcher is idle")
        await eventually(lambda: _holds(rows, f"SELECT ({LISTENING}) = 1"), what="it listens")
        for count in (1, 2, 3):
            await shop.end(receiver.url)
            await receiver.received(count)
    listener.close()


@pytest.mark.usefixtures("only_notifications")
async def test_a_lost_listener_listens_again(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str, rows: asyncpg.Connection
) -> None:
    """What was recorded meanwhile is found when it is back."""
    listener = Listener(DatabaseSettings(database_url=database), dispatch.dispatcher.notice)
    await listener.run_once()
    await rows.execute(LISTENING.replace("count(*)", "pg_terminate_backend(pid)"))
    await eventually(lambda: _holds(rows, f"SELECT ({LISTENING}) = 0"), what="the connection ended")
    await shop.end(receiver.url)
    async with running(dispatch, listener):
        await receiver.received(1)
        await shop.end(receiver.url)
        await receiver.received(2)
    listener.close()


async def test_polling_is_a_floor(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Without a listener a delivery waits for the next poll, no longer."""
    async with running(dispatch):
        await eventually(lambda: dispatch.dispatcher.interval == dispatcher.POLL_SECONDS)
        await shop.end(receiver.url)
        await receiver.received(1)


async def test_the_first_start_retires_what_is_too_old(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """A backlog from the time before webhooks were sent is not fired; younger deliveries are."""
    await shop.end(receiver.url, 3)
    old, young, _ = await shop.deliveries()
    age = "UPDATE webhook_deliveries SET scheduled_at = now() - $2::interval WHERE id = $1"
    await shop.execute(age, old["id"], LENGTH * 1.01)
    await shop.execute(age, young["id"], LENGTH * 0.99)
    await dispatch.round()
    assert (await shop.count("retired"), await shop.count("succeeded")) == (1, 2)
    assert old["id"] not in receiver.delivery_ids


async def test_two_first_starts_fire_nothing_that_is_too_old(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that start for the first time together retire together, a few at a time."""
    monkeypatch.setattr("webhooks.dispatch.retiring.BATCH", 2)
    await shop.end(receiver.url, 25)
    await shop.execute("UPDATE webhook_deliveries SET scheduled_at = now() - $1::interval", LENGTH * 2)
    await shop.end(receiver.url, 5)
    async with open_dispatch(database) as other:
        await asyncio.gather(dispatch.round(), other.round())
        while await shop.count("pending"):
            await dispatch.round()
    assert (await shop.count("retired"), await shop.count("succeeded")) == (25, 5)
    assert len(receiver.requests) == 5


async def test_a_later_start_retires_nothing(dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str) -> None:
    """What waited for a paused endpoint, or while no dispatcher ran, is sent."""
    await dispatch.round()
    await shop.end(receiver.url)
    await shop.execute("UPDATE webhook_deliveries SET scheduled_at = now() - $1::interval", LENGTH * 2)
    async with open_dispatch(database) as restarted:
        await restarted.round()
    assert await shop.count("succeeded") == 1


async def _holds(rows: asyncpg.Connection, condition: str) -> bool:
    return bool(await rows.fetchval(condition))
