"""Attempts whose process ended, and when another may take them."""

import asyncio
from datetime import timedelta

import pytest

from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.receiver import Answer, Received, Receiver, always
from webhooks.dispatch.reaping import AWAY_SECONDS, MOST_LOSSES, Reaper

LOSE = """
    WITH begun AS (
        UPDATE webhook_deliveries SET attempt = attempt + 1, snapshot = NULL, body = 'x',
            lease_token = gen_random_uuid(), lease_expires_at = now() - interval '1 second'
        RETURNING id, attempt, lease_token
    )
    INSERT INTO webhook_attempts (delivery_id, number, lease_token) SELECT id, attempt, lease_token FROM begun
"""
"""A process claimed each delivery and ended."""


async def test_a_lost_lease_fences_the_late_completion(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str
) -> None:
    """A dispatcher that was frozen past its lease changes nothing: its attempt was lost, and another repeats it."""
    release = asyncio.Event()

    async def wait(request: Received) -> Answer:
        await release.wait()
        return Answer(500)

    receiver.behave = wait
    await shop.end(receiver.url)
    await dispatch.dispatcher.run_once()
    await receiver.received(1)
    await shop.execute("UPDATE webhook_deliveries SET lease_expires_at = now() - interval '1 second'")
    receiver.behave = always(200)
    async with open_dispatch(database) as other:
        await other.reaper.run_once()
        await other.round()
        [delivery] = await shop.deliveries()
        assert (delivery["status"], delivery["attempt"]) == ("succeeded", 2)
        release.set()
        await dispatch.flights.drain()
    assert [delivery] == await shop.deliveries()
    assert [row["outcome"] for row in await shop.attempts()] == ["lost", "succeeded"]


async def test_a_lost_attempt_is_no_failure(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """It says nothing of the receiver: the first is repeated at once, the next after pauses that grow."""
    await shop.end(receiver.url)
    pauses = []
    for _ in range(4):
        await shop.execute(LOSE)
        await dispatch.reaper.run_once()
        [delivery] = await shop.deliveries()
        pauses.append(await shop.value("SELECT extract(epoch FROM $1 - now())::float8", delivery["next_attempt_at"]))
    assert pauses == pytest.approx([0, 1, 4, 9], abs=0.9)
    assert (delivery["status"], delivery["attempt"], delivery["failures"], delivery["losses"]) == ("pending", 4, 0, 4)


async def test_any_end_of_an_attempt_ends_the_losses(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Only those in a row count."""
    await shop.end(receiver.url)
    await shop.execute(LOSE)
    await dispatch.reaper.run_once()
    receiver.behave = always(500)
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert (delivery["attempt"], delivery["failures"], delivery["losses"]) == (2, 1, 0)


async def test_a_delivery_that_is_always_lost_ends(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """One that ends every process that sends it is not tried indefinitely; a hundred crashes exhaust none."""
    await shop.end(receiver.url)
    await shop.execute("UPDATE webhook_deliveries SET attempt = $1, losses = $1", MOST_LOSSES - 1)
    for status in ("pending", "failed"):
        await shop.execute(LOSE)
        await dispatch.reaper.run_once()
        [delivery] = await shop.deliveries()
        assert delivery["status"] == status
    assert (delivery["failures"], delivery["dead_lettered"]) == (0, True)
    message = await shop.value("SELECT error ->> 'message' FROM dead_letters WHERE delivery_id = $1", delivery["id"])
    assert "lost" in message
    assert MOST_LOSSES >= 100


async def test_nothing_is_taken_until_a_lease_has_passed(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """After its start, and after Postgres was away, a process leaves others the time to complete their attempts."""
    await shop.end(receiver.url)
    clock = Clock()
    lease = timedelta(seconds=60)
    reaper = Reaper(dispatch.database, lambda: None, lease, clock)

    async def losses_after(*moments: float) -> int:
        for clock.seconds in moments:
            await reaper.run_once()
        return int(await shop.value("SELECT losses FROM webhook_deliveries"))

    await shop.execute(LOSE)
    contact = [100 + each * AWAY_SECONDS for each in range(6)]
    assert await losses_after(*contact, 159.9) == 0
    assert await losses_after(160) == 1
    await shop.execute(LOSE)
    assert await losses_after(160 + AWAY_SECONDS + 1) == 1, "nobody could complete in the meantime"
    assert await losses_after(*(171 + each * AWAY_SECONDS for each in range(7))) == 2
