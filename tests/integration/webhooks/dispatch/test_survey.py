"""Many destinations: a round looks at few of them, and none that works waits for those that don't."""

import pytest

from tests.integration.webhooks.dispatchers import Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always, open_receiver
from webhooks.dispatch import dispatcher, survey


@pytest.fixture
async def many(shop: Shop, dispatch: Dispatch, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """More destinations that fail than fit into a page, and no other page than the first."""
    monkeypatch.setattr(survey, "PAGE", 2)
    monkeypatch.setattr(survey, "PAGE_SECONDS", 3600)
    for number in range(5):
        await shop.standing(f"https://10.0.0.{number}/denied")
    await shop.end(None)
    await dispatch.round()
    return shop


async def test_a_new_delivery_needs_no_page(many: Shop, dispatch: Dispatch, receiver: Receiver) -> None:
    """It is found by its age."""
    other = await many.another()
    await other.end(receiver.url)
    await dispatch.round()
    assert len(receiver.requests) == 1


async def test_a_backlog_needs_no_page(
    many: Shop, dispatch: Dispatch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that works is served until nothing is left, however old the rest is."""
    other = await many.another()
    await other.end(receiver.url, 100)
    await dispatch.dispatcher.run_once()
    await dispatch.flights.drain()
    assert len(receiver.requests) == 1, "the first shows whether it works"
    await dispatch.dispatcher.run_once()
    monkeypatch.setattr(survey, "RECENT_SECONDS", 0.0)
    await dispatch.flights.drain()
    await dispatch.round()
    assert len(receiver.requests) == 100


async def test_a_round_begins_with_few_of_the_unproven(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewest of those that failed before, so that they take no time from the others."""
    monkeypatch.setattr(dispatcher, "UNKNOWN_PER_ROUND", 2)
    monkeypatch.setattr(dispatcher, "FAILED_PER_ROUND", 1)
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
