"""Circuit breakers of receivers, and the bounds that hold beside them, in rounds of a real dispatcher."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.integration.webhooks.dispatchers import Dispatch, break_receiver, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.receiver import Answer, Received, Receiver, accept, always, open_receiver
from tests.support.waiting import eventually
from webhooks.dispatch.allotment import Limits
from webhooks.dispatch.flights import FAILURES_IN_A_ROW, LONGEST_SLOWING_SECONDS

REFUSED = "SELECT count(*) = 1 FROM webhook_deliveries WHERE failures = 1"
LONGEST_PAUSE = 60.0
"""Of a tenant's breaker."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def dispatch(database: str, clock: Clock) -> AsyncIterator[Dispatch]:
    """Open a dispatcher whose breakers go by the test's clock."""
    async with open_dispatch(database, clock=clock) as opened:
        yield opened


async def works(dispatch: Dispatch, shop: Shop, url: str) -> None:
    """Let a first delivery show that a receiver works for a tenant."""
    await shop.end(url)
    await dispatch.round()


async def test_a_breaker_is_one_tenant_s(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """What fails for one, such as its path alone, is skipped; another tenant's deliveries to that origin are sent."""
    await break_receiver(dispatch, shop, receiver)
    receiver.behave = accept
    await shop.end(receiver.url)
    await dispatch.round()
    assert len(receiver.requests) == FAILURES_IN_A_ROW
    await works(dispatch, await shop.another(), f"{receiver.url}/other")
    assert [request.path for request in receiver.requests[FAILURES_IN_A_ROW:]] == ["/other"]


async def test_an_open_breaker_tries_one_delivery(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    """After its pause. One that fails is the only one; one that works is followed by all that wait."""
    await break_receiver(dispatch, shop, receiver)
    await shop.end(receiver.url, 9)
    sent = FAILURES_IN_A_ROW
    for _ in range(2):
        clock.seconds += LONGEST_PAUSE
        await shop.make_due()
        await dispatch.round()
        sent += 1
        assert len(receiver.requests) == sent
    receiver.behave = accept
    await dispatch.round()
    assert len(receiver.requests) == sent, "not before the pause is over"
    clock.seconds += LONGEST_PAUSE
    await shop.make_due()
    await dispatch.round()
    assert await shop.count("succeeded") == 10


async def test_a_success_that_was_in_flight_does_not_shorten_a_pause(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    """Of requests at the same time one is refused with a Retry-After, then another one is accepted."""
    await works(dispatch, shop, receiver.url)
    refused = asyncio.Event()

    async def take_one(request: Received) -> Answer:
        if request.path == "/refused":
            return Answer(429, {"retry-after": "30"})
        await refused.wait()
        return Answer()

    receiver.behave = take_one
    await shop.end(f"{receiver.url}/accepted")
    await dispatch.dispatcher.run_once()
    await receiver.received(2)
    await shop.end(f"{receiver.url}/refused")
    await dispatch.dispatcher.run_once()
    await eventually(lambda: shop.value(REFUSED), what="the refusal is recorded")
    refused.set()
    await dispatch.flights.drain()
    await shop.end(f"{receiver.url}/later")
    await (await shop.another()).end(f"{receiver.url}/of-another")
    clock.seconds += 29
    await dispatch.round()
    assert [request.path for request in receiver.requests] == ["/", "/accepted", "/refused"]
    clock.seconds += 1
    await dispatch.round()
    assert {request.path for request in receiver.requests[3:]} == {"/later", "/of-another"}


async def test_a_retry_after_slows_others_for_a_minute_at_most(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    """One tenant's receiver can't stop everybody's for a day; its own delivery waits for as long as it asks for."""
    receiver.behave = always(503, retry_after="86400")
    await shop.end(receiver.url)
    await dispatch.round()
    [delivery] = await shop.deliveries()
    assert (delivery["next_attempt_at"] - delivery["created_at"]).total_seconds() >= 86400
    receiver.behave = accept
    await (await shop.another()).end(f"{receiver.url}/other")
    clock.seconds += LONGEST_SLOWING_SECONDS
    await dispatch.round()
    assert [request.path for request in receiver.requests] == ["/", "/other"]


async def test_a_tenant_is_bounded_over_all_of_its_receivers(database: str, shop: Shop, receiver: Receiver) -> None:
    """Whatever hangs, no more than its share is in flight, and other tenants are served at the same origins."""
    release = asyncio.Event()

    async def hang(request: Received) -> Answer:
        if request.path == "/hang":
            await release.wait()
        return Answer()

    limits = Limits(total=64, per_tenant=5, per_origin=4)
    async with AsyncExitStack() as stack:
        dispatch = await stack.enter_async_context(open_dispatch(database, limits=limits, seconds=30))
        receivers = [receiver, *[await stack.enter_async_context(open_receiver()) for _ in range(2)]]
        for each in receivers:
            await works(dispatch, shop, each.url)
            each.behave = hang
        for each in receivers:
            await shop.end(f"{each.url}/hang", 10)
        for _ in range(3):
            await dispatch.dispatcher.run_once()
        assert dispatch.flights.in_flight.total == 5
        other = await shop.another()
        for each in receivers:
            await other.end(each.url)

        async def all_are_served() -> bool:
            await dispatch.dispatcher.run_once()
            return await shop.count("succeeded") == 2 * len(receivers)

        await eventually(all_are_served, what="the other tenant's deliveries succeeded")
        assert sum(each.answering for each in receivers) == 5
        release.set()
        await dispatch.flights.drain()
