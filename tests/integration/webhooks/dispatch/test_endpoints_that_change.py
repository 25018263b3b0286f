"""What a claim takes from the endpoint as it is now: its URL, its keys, its status."""

import msgspec
import pytest
from prometheus_client import Gauge

from tests.integration.webhooks.dispatchers import KEYS, LIMITS, Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always, open_receiver
from webhooks import metrics
from webhooks.secrets import MasterKeys

MOVE = "UPDATE webhook_endpoints SET url = $2 WHERE id = $1"
OTHER_KEYS = MasterKeys([f"second:{'6f' * 32}"])
BOTH_KEYS = MasterKeys([f"second:{'6f' * 32}", f"first:{'5e' * 32}"])


async def test_the_present_url_of_an_endpoint_is_used(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Deliveries that wait go to where the endpoint is now, and say so afterwards."""
    receiver.behave = always(500)
    endpoint = await shop.standing(receiver.url)
    await shop.end(None)
    await dispatch.round()
    await shop.end(None)
    async with open_receiver() as moved:
        await shop.execute(MOVE, endpoint, f"{moved.url}/new?token=1")
        await shop.make_due()
        await dispatch.round()
        assert [request.path for request in moved.requests] == ["/new?token=1"] * 2
        assert {row["url"] for row in await shop.deliveries()} == {f"{moved.url}/new?token=1"}
        assert {row["origin"] for row in await shop.deliveries()} == {moved.url}
    assert (len(receiver.requests), await shop.count("succeeded")) == (1, 2)


async def test_an_origin_is_bounded_wherever_its_deliveries_were_recorded(
    database: str, shop: Shop, receiver: Receiver
) -> None:
    """Those of an old URL and those of the present one share the origin's room."""
    endpoint = await shop.standing("http://127.0.0.1:9/old")
    await shop.end(None, 10)
    await shop.execute(MOVE, endpoint, receiver.url)
    await shop.end(None, 10)
    limits = msgspec.structs.replace(LIMITS, per_origin=4)
    async with open_dispatch(database, limits=limits) as dispatch:
        while await shop.count("pending"):
            await dispatch.dispatcher.run_once()
            assert dispatch.flights.in_flight.total <= 4
            await dispatch.flights.drain()
    assert len(receiver.requests) == 20


@pytest.mark.parametrize(
    "needs",
    [
        "master_key = 'first'",
        "headers = 'x', headers_key = 'first', header_names = '{x-team}', master_key = 'second'",
        "rotation = 1, previous_until = now() + interval '1 day', previous_master_key = 'first', master_key = 'second'",
    ],
)
async def test_without_its_master_key_nothing_is_tried(
    database: str, shop: Shop, receiver: Receiver, needs: str
) -> None:
    """It is the operator's mistake: the deliveries wait where they are, others are sent, and the service says so."""
    endpoint = await shop.standing(receiver.url)
    await shop.execute(f"UPDATE webhook_endpoints SET {needs} WHERE id = $1", endpoint)
    await shop.end(f"{receiver.url}/implicit")
    async with open_dispatch(database, keys=OTHER_KEYS) as dispatch:
        await dispatch.round()
        await dispatch.dispatcher.run_once()
    assert [request.path for request in receiver.requests] == ["/implicit"]
    assert (await shop.count("pending"), len(await shop.attempts())) == (1, 1)
    assert _value_of(metrics.UNSIGNABLE) == 1


async def test_a_key_that_is_back_lets_them_go(database: str, shop: Shop, receiver: Receiver) -> None:
    """A previous secret that is over needs none."""
    endpoint = await shop.standing(receiver.url)
    await shop.execute(
        "UPDATE webhook_endpoints SET master_key = 'first', rotation = 1, previous_until = now() - interval '1 second',"
        " previous_master_key = 'lost' WHERE id = $1",
        endpoint,
    )
    await shop.end(None)
    async with open_dispatch(database, keys=BOTH_KEYS) as dispatch:
        await dispatch.round()
    assert len(receiver.requests) == 1


async def test_headers_that_cant_be_read_release_the_attempt(
    dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """They were changed, or the key was: no failure of the receiver, and tried again in a minute."""
    endpoint = await shop.standing(receiver.url)
    headers = KEYS.encrypt_headers(endpoint, {"x-team": "red"})[::-1]
    await shop.execute(
        "UPDATE webhook_endpoints SET headers = $2, headers_key = 'first', header_names = '{x-team}' WHERE id = $1",
        endpoint,
        headers,
    )
    await shop.end(None)
    await dispatch.round()
    [attempt] = await shop.attempts()
    [delivery] = await shop.deliveries()
    assert (attempt["outcome"], receiver.requests) == ("released", [])
    assert (delivery["status"], delivery["failures"], delivery["attempt"]) == ("pending", 0, 1)
    pause = await shop.value("SELECT extract(epoch FROM $1 - now())::float8", delivery["next_attempt_at"])
    assert pause == pytest.approx(60, abs=5)


def _value_of(gauge: Gauge) -> float:
    [metric] = gauge.collect()
    return metric.samples[0].value
