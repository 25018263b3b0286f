"""A dispatcher that starts while many receivers hang: the others find room, by what the log says or by their tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.integration.webhooks.dispatchers import LIMITS, Dispatch, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

HUNG = 150
"""Several times the deliveries that a process has in flight to receivers that may hang."""
TENANTS = 10
FEW_TENANTS = 4
"""Whose receivers could fill the whole room of those that may hang."""
HANGING_SECONDS = 60.0
"""A receiver may take longer than the test."""
FAILED_ONCE = "UPDATE webhook_deliveries SET attempt = 1, failures = 1"
FAILING = "UPDATE webhook_endpoints SET failing_since = now() WHERE NOT implicit"


class Hanging(asyncio.Protocol):
    """Accepts connections on all addresses of the loopback, and never answers."""

    def __init__(self) -> None:
        self._transports: list[asyncio.BaseTransport] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.append(transport)

    def release(self) -> None:
        """End the connections, and with them the attempts."""
        for transport in self._transports:
            transport.close()


@pytest.fixture
async def hanging() -> AsyncIterator[tuple[Hanging, int]]:
    """Yield what hangs, and its port."""
    hanging = Hanging()
    server = await asyncio.get_running_loop().create_server(lambda: hanging, "0.0.0.0", 0)
    yield hanging, server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def dispatching(database: str) -> AsyncIterator[Dispatch]:
    """Run a dispatcher that knows nothing of any receiver."""
    async with open_dispatch(database, allowed=["127.0.0.0/8"], seconds=HANGING_SECONDS) as dispatch:
        stop = asyncio.Event()
        running = [asyncio.create_task(loop.run(stop)) for loop in (dispatch.dispatcher, dispatch.walker)]
        yield dispatch
        stop.set()
        await asyncio.gather(*running)


def origins(port: int) -> list[str]:
    """Return the URLs of receivers that hang, each an origin of its own."""
    return [f"http://127.1.0.{number}:{port}/hook" for number in range(1, HUNG + 1)]


async def served_on_time(database: str, shop: Shop, receiver: Receiver, hanging: Hanging, count: int) -> None:
    """Check that all of the healthy deliveries arrive before any of the hung requests has ended."""
    async with dispatching(database) as dispatch:
        await receiver.received(count)
        room = LIMITS.total // 4
        await eventually(lambda: dispatch.flights.in_flight.total == room, what="the failed fill their room, alone")
        assert await shop.value("SELECT count(*) FROM webhook_attempts WHERE ended_at IS NOT NULL") == count
        hanging.release()


async def test_endpoints_that_are_failing_take_no_room(
    database: str, shop: Shop, receiver: Receiver, hanging: tuple[Hanging, int]
) -> None:
    """Standing endpoints, by what is recorded of them; their deliveries are new."""
    shops = [await shop.another() for _ in range(TENANTS)]
    for number, url in enumerate(origins(hanging[1])):
        await shops[number % TENANTS].standing(url)
    await shop.execute(FAILING)
    for each in (*shops, shop):
        await each.end(receiver.url, 2)
    await served_on_time(database, shop, receiver, hanging[0], 2 * (TENANTS + 1))


async def test_urls_that_failed_take_no_room(
    database: str, shop: Shop, receiver: Receiver, hanging: tuple[Hanging, int]
) -> None:
    """URLs of jobs, by the attempts of their deliveries: an implicit endpoint has no record of its own."""
    shops = [await shop.another() for _ in range(TENANTS)]
    for number, url in enumerate(origins(hanging[1])):
        await shops[number % TENANTS].end(url)
    await shop.execute(FAILED_ONCE)
    for each in (*shops, shop):
        await each.end(receiver.url, 2)
    await served_on_time(database, shop, receiver, hanging[0], 2 * (TENANTS + 1))


async def test_unknown_receivers_of_others_leave_a_new_tenant_room(
    database: str, shop: Shop, receiver: Receiver, hanging: tuple[Hanging, int]
) -> None:
    """Nothing was ever sent to any of them, and all that hang are due first."""
    shops = [await shop.another() for _ in range(FEW_TENANTS)]
    for number, url in enumerate(origins(hanging[1])):
        await shops[number % FEW_TENANTS].end(url)
    async with dispatching(database) as dispatch:
        await eventually(lambda: dispatch.flights.in_flight.total >= LIMITS.total // 4, what="they fill their room")
        await shop.end(receiver.url)
        await receiver.received(1)
        ended = await shop.value("SELECT count(*) FROM webhook_attempts WHERE outcome = 'failed'")
        assert ended == 0, "no hung request has ended before"
        hanging[0].release()
