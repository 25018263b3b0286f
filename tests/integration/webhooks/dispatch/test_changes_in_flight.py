"""Endpoints that change while a delivery of theirs is in flight."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from tests.integration.webhooks.dispatchers import Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Answer, Received, Receiver, open_receiver

PAUSE = "UPDATE webhook_endpoints SET status = 'paused' WHERE id = $1"
DELETE = "UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1"
MOVE = "UPDATE webhook_endpoints SET url = $2 WHERE id = $1"
FIND = "SELECT status, failing_since FROM webhook_endpoints WHERE id = $1"


@asynccontextmanager
async def in_flight(dispatch: Dispatch, shop: Shop, receiver: Receiver, status: int) -> AsyncIterator[UUID]:
    """Yield an endpoint whose receiver has a delivery, which it answers with the status on exit."""
    may_answer = asyncio.Event()

    async def answer(request: Received) -> Answer:
        await may_answer.wait()
        return Answer(status)

    receiver.behave = answer
    endpoint = await shop.standing(receiver.url)
    await shop.end(None)
    await dispatch.dispatcher.run_once()
    await receiver.received(1)
    yield endpoint
    may_answer.set()
    await dispatch.flights.drain()


@pytest.mark.parametrize(
    ("change", "status", "becomes"),
    [(PAUSE, 500, "pending"), (PAUSE, 204, "succeeded"), (DELETE, 500, "canceled"), (DELETE, 204, "succeeded")],
)
async def test_the_attempt_ends_as_it_does_and_no_other_begins(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, change: str, status: int, becomes: str
) -> None:
    """A pause keeps what has failed, and a deletion cancels it."""
    async with in_flight(dispatch, shop, receiver, status) as endpoint:
        await shop.execute(change, endpoint)
    await shop.make_due()
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert (delivery["status"], delivery["attempt"], len(receiver.requests)) == (becomes, 1, 1)


@pytest.mark.parametrize("status", [410, 500])
async def test_an_endpoint_that_moved_is_not_blamed_for_the_receiver_that_it_left(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, status: int
) -> None:
    """What is answered at the old URL, such as 410, says nothing of the new one, where the delivery goes next."""
    async with open_receiver() as moved:
        async with in_flight(dispatch, shop, receiver, status) as endpoint:
            await shop.execute(MOVE, endpoint, moved.url)
        assert tuple(await shop.row(FIND, endpoint)) == ("enabled", None)
        await shop.make_due()
        await dispatch.round()
        assert moved.delivery_ids == receiver.delivery_ids
    assert [row["outcome"] for row in await shop.attempts()] == ["failed", "succeeded"]
