"""Standing endpoints whose receivers do nothing but fail."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.receiver import Receiver, always, open_receiver
from webhooks.dispatch.failing import CONFIRMED_SECONDS, DISABLE_AFTER_HOURS, WARN_AFTER_HOURS

EVENTS = ("webhook_endpoint.failing", "webhook_endpoint.disabled")
AGE = "UPDATE webhook_endpoints SET failing_since = now() - make_interval(hours => $2) WHERE id = $1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def dispatch(database: str, clock: Clock) -> AsyncIterator[Dispatch]:
    async with open_dispatch(database, clock=clock) as opened:
        yield opened


@pytest.fixture
async def desk(shop: Shop) -> AsyncIterator[Receiver]:
    """Receive the operators' events."""
    async with open_receiver() as opened:
        await shop.operators(opened.url, *EVENTS)
        yield opened


@pytest.fixture
async def endpoint(shop: Shop, receiver: Receiver) -> UUID:
    """Make a standing endpoint whose receiver is broken."""
    receiver.behave = always(500)
    return await shop.standing(f"{receiver.url}/hook?token=secret")


async def state(shop: Shop, endpoint: UUID) -> Any:
    return await shop.row("SELECT * FROM webhook_endpoints WHERE id = $1", endpoint)


async def attempt(dispatch: Dispatch, shop: Shop) -> None:
    """End a job, and let all deliveries be tried once."""
    await shop.end(None)
    await shop.make_due()
    await dispatch.round()


async def fail_for_hours(dispatch: Dispatch, shop: Shop, clock: Clock, endpoint: UUID, hours: float) -> None:
    """Let attempts fail from hours ago until now, of which this process saw the last one."""
    await attempt(dispatch, shop)
    await shop.execute(AGE, endpoint, int(hours))
    clock.seconds += CONFIRMED_SECONDS
    await attempt(dispatch, shop)


async def test_it_is_failing_from_a_failure_to_a_success(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, clock: Clock, endpoint: UUID
) -> None:
    """Later failures leave the moment as it is."""
    await attempt(dispatch, shop)
    first = (await state(shop, endpoint))["failing_since"]
    assert first is not None
    clock.seconds += 300
    await attempt(dispatch, shop)
    assert (await state(shop, endpoint))["failing_since"] == first
    receiver.behave = always(200)
    clock.seconds += 300
    await attempt(dispatch, shop)
    after = await state(shop, endpoint)
    assert (after["failing_since"], after["warned_at"], after["status"]) == (None, None, "enabled")


async def test_operators_are_warned_once_at_half_of_the_time(
    dispatch: Dispatch, shop: Shop, desk: Receiver, clock: Clock, endpoint: UUID
) -> None:
    """The event names the endpoint and the origin, and never the URL."""
    await fail_for_hours(dispatch, shop, clock, endpoint, WARN_AFTER_HOURS - 1)
    assert (await state(shop, endpoint))["warned_at"] is None
    for _ in range(2):
        await fail_for_hours(dispatch, shop, clock, endpoint, WARN_AFTER_HOURS + 1)
    await dispatch.round()
    [request] = desk.requests
    assert request.event["type"] == "webhook_endpoint.failing"
    data = request.event["data"]
    assert set(data) == {"endpoint_id", "tenant_id", "origin", "failing_since", "reason"}
    assert (data["endpoint_id"], data["tenant_id"]) == (str(endpoint), str(shop.tenant))
    assert data["reason"] == "Every attempt failed for 60 hours. The last one: The receiver answered 500."
    assert b"secret" not in request.body
    assert (await state(shop, endpoint))["status"] == "enabled"


async def test_it_is_disabled_in_the_end(
    dispatch: Dispatch, shop: Shop, desk: Receiver, receiver: Receiver, clock: Clock, endpoint: UUID
) -> None:
    """What waits is canceled, nothing more is recorded, and operators get an event."""
    await fail_for_hours(dispatch, shop, clock, endpoint, DISABLE_AFTER_HOURS - 1)
    assert (await state(shop, endpoint))["status"] == "enabled"
    await fail_for_hours(dispatch, shop, clock, endpoint, DISABLE_AFTER_HOURS + 1)
    after = await state(shop, endpoint)
    assert (after["status"], after["disabled_reason"]) == (
        "disabled",
        "Every attempt failed for 120 hours. The last one: The receiver answered 500.",
    )
    await dispatch.round()
    assert [request.event["type"] for request in desk.requests] == list(EVENTS)
    assert desk.requests[1].event["data"]["reason"] == after["disabled_reason"]
    assert await shop.count("pending") == 0
    seen = len(receiver.requests)
    await attempt(dispatch, shop)
    assert len(receiver.requests) == seen


async def test_a_stop_of_all_dispatchers_disables_nothing(
    dispatch: Dispatch, shop: Shop, clock: Clock, endpoint: UUID
) -> None:
    """Nothing could succeed meanwhile: this process must have seen failures for an hour."""
    await attempt(dispatch, shop)
    await shop.execute(AGE, endpoint, DISABLE_AFTER_HOURS * 2)
    clock.seconds += CONFIRMED_SECONDS - 1
    await attempt(dispatch, shop)
    assert (await state(shop, endpoint))["status"] == "enabled"
    clock.seconds += 1
    await attempt(dispatch, shop)
    assert (await state(shop, endpoint))["status"] == "disabled"


async def test_an_implicit_endpoint_is_never_failing(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, clock: Clock
) -> None:
    """It stands for many receivers."""
    receiver.behave = always(500)
    for _ in range(3):
        await shop.end(receiver.url)
        await shop.make_due()
        await dispatch.round()
        clock.seconds += CONFIRMED_SECONDS
    assert await shop.value("SELECT count(*) FROM webhook_endpoints WHERE failing_since IS NOT NULL") == 0


async def test_an_operators_endpoint_can_fail_too(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """It has no tenant, and its events are not of jobs."""
    receiver.behave = always(500)
    endpoint = await shop.operators(receiver.url, "webhook_endpoint.disabled")
    assert await shop.value("SELECT record_event($1, 'webhook_endpoint.test', '{}')", endpoint)
    await dispatch.round()
    assert receiver.requests[0].event["type"] == "webhook_endpoint.test"
    assert (await state(shop, endpoint))["failing_since"] is not None


async def test_410_disables_with_an_event(
    dispatch: Dispatch, shop: Shop, desk: Receiver, receiver: Receiver, endpoint: UUID
) -> None:
    """At once; the delivery ends without a dead letter."""
    receiver.behave = always(410)
    await attempt(dispatch, shop)
    await dispatch.round()
    [request] = desk.requests
    assert (request.event["type"], request.event["data"]["reason"]) == (
        "webhook_endpoint.disabled",
        "The receiver answered 410 (Gone).",
    )
    assert (await state(shop, endpoint))["status"] == "disabled"
    assert await shop.value("SELECT count(*) FROM dead_letters") == 0
