"""Backlogs behind receivers that don't work."""

from datetime import timedelta

import pytest

from tests.integration.webhooks.dispatchers import Dispatch, break_receiver, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.receiver import Receiver
from webhooks.dispatch.flights import FAILURES_IN_A_ROW
from webhooks.dispatch.giving_up import AGE, CONFIRMED_SECONDS, MESSAGE, GivingUp

SCHEDULED = "UPDATE webhook_deliveries SET scheduled_at = now() - $1::interval WHERE status = 'pending'"


def giving_up(dispatch: Dispatch) -> GivingUp:
    return GivingUp(dispatch.database, dispatch.flights, ["first"])


async def test_what_waited_too_long_behind_a_broken_receiver_ends(
    database: str, shop: Shop, receiver: Receiver
) -> None:
    """Without another attempt, and with a dead letter; younger deliveries go on waiting."""
    clock = Clock()
    async with open_dispatch(database, clock=clock) as dispatch:
        await break_receiver(dispatch, shop, receiver)
        await shop.end(receiver.url, 2)
        await shop.execute(SCHEDULED, AGE + timedelta(minutes=1))
        await shop.end(receiver.url)
        await shop.make_due()
        clock.seconds = CONFIRMED_SECONDS - 1
        await giving_up(dispatch).run_once()
        assert await shop.count("failed") == 0, "an outage that is short gives nothing up"
        clock.seconds += 1
        await giving_up(dispatch).run_once()
    assert (await shop.count("failed"), await shop.count("pending")) == (3, 1)
    assert len(receiver.requests) == FAILURES_IN_A_ROW
    letters = "SELECT array_agg(DISTINCT error ->> 'message') FROM dead_letters WHERE kind = 'webhook'"
    assert await shop.value(letters) == [MESSAGE]
    assert await shop.value("SELECT count(*) FROM dead_letters") == 3


@pytest.mark.parametrize("paused", ["resumed_at = now()", "status = 'paused'"])
async def test_a_pause_is_not_waiting(database: str, shop: Shop, receiver: Receiver, paused: str) -> None:
    """What waited for a paused endpoint has its time from when it was resumed."""
    clock = Clock()
    async with open_dispatch(database, clock=clock) as dispatch:
        await break_receiver(dispatch, shop, receiver)
        await shop.execute(SCHEDULED, AGE * 2)
        await shop.execute(f"UPDATE webhook_endpoints SET {paused} WHERE tenant_id = $1", shop.tenant)
        await shop.make_due()
        clock.seconds = CONFIRMED_SECONDS
        await giving_up(dispatch).run_once()
    assert await shop.count("pending") == 1


async def test_a_receiver_that_works_is_sent_everything(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """However old it is."""
    await shop.end(receiver.url, 3)
    await shop.execute(SCHEDULED, AGE * 2)
    await shop.execute("UPDATE instance SET dispatched_since = now()")
    await giving_up(dispatch).run_once()
    await dispatch.round()
    assert await shop.count("succeeded") == 3


async def test_it_walks_over_all_destinations(
    database: str, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round looks at a bounded number of them, and the next one goes on."""
    monkeypatch.setattr("webhooks.dispatch.giving_up.DESTINATIONS_PER_ROUND", 1)
    clock = Clock()
    async with open_dispatch(database, clock=clock) as dispatch:
        shops = [shop, await shop.another()]
        for each in shops:
            await break_receiver(dispatch, each, receiver)
        await shop.execute(SCHEDULED, AGE * 2)
        clock.seconds = CONFIRMED_SECONDS
        await shop.make_due()
        loop = giving_up(dispatch)
        while await loop.run_once():
            pass
    assert await shop.count("failed") == 2
