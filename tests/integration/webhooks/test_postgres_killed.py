"""Postgres is killed while deliveries are in flight, and comes back."""

import asyncio
from functools import partial

import asyncpg
import pytest

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.fixtures import DatabaseFactory, ServiceFactory
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

DELIVERIES = 300
DISPATCHERS = 2
LEASE_SECONDS = 3


async def test_no_delivery_is_lost_or_blamed_on_its_receiver(
    private_postgres: DatabaseFactory, start_service: ServiceFactory, receiver: Receiver
) -> None:
    """What was answered meanwhile is recorded when Postgres is back, and no attempt is left open."""
    database = await private_postgres()
    url = await database.create_database()
    settings = {
        "DARKROOM_DATABASE_URL": url,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "DARKROOM_WEBHOOKS_LEASE_SECONDS": str(LEASE_SECONDS),
    }

    async def answer(request: Received) -> Answer:
        await asyncio.sleep(request.delivery_id.int % 100 / 1000)
        return Answer()

    receiver.behave = answer
    shop = await Shop.open(await asyncpg.connect(url))
    await shop.end(receiver.url, DELIVERIES)
    for _ in range(DISPATCHERS):
        await start_service("webhooks", settings)
    for share in (0.2, 0.5):
        await receiver.received(int(DELIVERIES * share))
        await database.kill()
        await database.start()
    shop = Shop(await asyncpg.connect(url), shop.tenant)
    await eventually(partial(_all_succeeded, shop), seconds=60, what="all have succeeded")
    deliveries, attempts = await shop.deliveries(), await shop.attempts()
    assert set(receiver.delivery_ids) == {row["id"] for row in deliveries}
    assert {row["failures"] for row in deliveries} == {0}
    assert {row["outcome"] for row in attempts} <= {"succeeded", "lost"}
    assert DELIVERIES <= len(receiver.requests) <= len(attempts)


async def _all_succeeded(shop: Shop) -> bool:
    return await shop.count("succeeded") == DELIVERIES
