"""The metrics of what waits, what is in flight, and the outcomes of attempts."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.clocks import Clock
from tests.support.receiver import Answer, Received, Receiver, accept, always
from webhooks.dispatch.flights import FAILURES_IN_A_ROW
from webhooks.dispatch.sampling import DeliveryMetrics

OVERDUE = "UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 hour' WHERE lease_token IS NULL"
LATER = "UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 hour' WHERE endpoint_id = $1"
PAUSE = "UPDATE webhook_endpoints SET status = 'paused' WHERE id = $1"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"darkroom_webhook_{name}", labels) or 0.0


async def waiting_and_due(dispatch: Dispatch) -> tuple[float, float]:
    """Return the gauges, just sampled."""
    await DeliveryMetrics(dispatch.database).run_once()
    return value("deliveries_waiting"), value("deliveries_due")


async def test_in_flight_due_and_the_age_of_the_oldest(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """One is sent, two wait behind it, overdue for an hour; once all are received nothing is left."""
    release, before = asyncio.Event(), value("deliveries_in_flight")

    async def hold(request: Received) -> Answer:
        await release.wait()
        return Answer()

    receiver.behave = hold
    await shop.end(receiver.url, 3)
    await shop.execute(OVERDUE)
    await dispatch.dispatcher.run_once()
    await receiver.received(1)
    assert value("deliveries_in_flight") - before == 1
    assert await waiting_and_due(dispatch) == (2, 2)
    assert value("oldest_due_seconds") == pytest.approx(3600, abs=60)
    release.set()
    await dispatch.flights.drain()
    for _ in range(2):  # the second one looks at what the first one left
        await dispatch.round()
    assert value("deliveries_in_flight") == before
    assert await waiting_and_due(dispatch) == (0, 0)
    assert value("oldest_due_seconds") == 0


async def test_what_waits_for_its_time_or_a_paused_endpoint_is_not_due(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """It is counted as waiting; its age would say nothing of the service."""
    paused, later = await shop.standing(receiver.url), await shop.standing(receiver.url)
    await shop.execute(PAUSE, paused)
    await shop.end(receiver.url)
    await shop.execute(OVERDUE)
    await shop.execute(LATER, later)
    assert await waiting_and_due(dispatch) == (3, 1)
    await dispatch.round()
    assert len(receiver.requests) == 1
    assert await waiting_and_due(dispatch) == (2, 0)
    assert value("oldest_due_seconds") == 0


class Counted:
    """How far counters have come since this was made."""

    def __init__(self) -> None:
        self._before = self._now()

    def __call__(self) -> dict[str, float]:
        return {name: count - self._before[name] for name, count in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {
            "failed": value("attempts_total", outcome="failed", status="5xx"),
            "succeeded": value("attempts_total", outcome="succeeded", status="2xx"),
            "durations": value("attempt_seconds_count"),
            "latencies": value("delivery_seconds_count"),
        }


async def test_attempts_are_counted_and_open_a_circuit(database: str, shop: Shop, receiver: Receiver) -> None:
    """It is open from the last of several failures in a row to a success. A repeated attempt has no latency."""
    clock, counted, often = Clock(), Counted(), FAILURES_IN_A_ROW
    receiver.behave = always(500)
    async with open_dispatch(database, clock=clock) as dispatch:
        await shop.end(receiver.url, often)
        await dispatch.round()
        assert counted() == {"failed": often, "succeeded": 0, "durations": often, "latencies": 0}
        assert value("open_circuits", kind="tenant") == 1
        await shop.execute(OVERDUE)
        await dispatch.round()
        assert value("oldest_due_seconds") == 0, "its receiver is skipped"
        receiver.behave = accept
        clock.seconds += 60
        await shop.end(receiver.url)
        await dispatch.round()
        assert value("open_circuits", kind="tenant") == 0
    total = often + 1
    assert counted() == {"failed": often, "succeeded": total, "durations": often + total, "latencies": 1}
