"""Dispatchers are killed again and again; every delivery arrives, and every attempt is in the log."""

import asyncio
import os
import secrets
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.fixtures import ServiceFactory
from tests.support.receiver import Answer, Received, Receiver, always, open_receiver
from tests.support.waiting import eventually

pytestmark = pytest.mark.chaos

SEED = "DARKROOM_TEST_SEED"
"""The environment variable that repeats a run's choices."""
DISPATCHERS = 2
LEASE_SECONDS = 2
SLOWEST_SECONDS = 0.02
"""The longest that the receiver takes to answer: what is in flight when a process is killed."""
HOPELESS = 3
"""Deliveries that have one attempt left, which fails."""
ONE_ATTEMPT_LEFT = "UPDATE webhook_deliveries SET attempt = 9, failures = 9"
LOGGED = """
    SELECT delivery.*, numbers, outcomes,
        (SELECT count(*) FROM dead_letters WHERE delivery_id = delivery.id AND status = 'open') AS letters
    FROM webhook_deliveries AS delivery, LATERAL (
        SELECT array_agg(number ORDER BY number) AS numbers, array_agg(outcome ORDER BY number) AS outcomes
        FROM webhook_attempts WHERE delivery_id = delivery.id
    ) AS attempts
"""


@dataclass
class Kills:
    """What a run draws, and the dispatchers that it kills."""

    random: Random
    start_service: ServiceFactory
    settings: dict[str, str]
    arrived: Counter[UUID] = field(default_factory=Counter)
    """Requests for each delivery."""

    async def run(self, shop: Shop, receiver: Receiver, deliveries: int, kills: int) -> None:
        """Record deliveries, and kill a dispatcher after some of them have arrived, wherever it is then."""
        dispatchers = [await self._start() for _ in range(DISPATCHERS)]
        for _ in range(kills):
            await shop.end(receiver.url, deliveries // kills)
            await self._some_arrive(receiver, deliveries // kills)
            number = self.random.randrange(DISPATCHERS)
            dispatchers[number].kill()
            dispatchers[number] = await self._start()

    async def unsteady(self, request: Received) -> Answer:
        """Answer after a while; the first attempts of some deliveries fail."""
        self.arrived[request.delivery_id] += 1
        fails = self.arrived[request.delivery_id] == 1 and request.delivery_id.int % 50 == 0
        await asyncio.sleep(self.random.uniform(0, SLOWEST_SECONDS))
        return Answer(500 if fails else 204)

    async def _start(self) -> Any:
        return await self.start_service("webhooks", self.settings, wait_ready=False)

    async def _some_arrive(self, receiver: Receiver, at_most: int) -> None:
        """Wait for a random number of requests, for a bounded time: all dispatchers may still be starting."""
        wanted = len(receiver.requests) + self.random.randrange(at_most)
        try:
            await receiver.received(wanted, seconds=self.random.uniform(0.1, 5))
        except TimeoutError:
            return


@pytest.fixture
def kills(start_service: ServiceFactory, database: str) -> Kills:
    seed = os.environ.get(SEED) or secrets.token_hex(4)
    print(f"{SEED}={seed}")  # noqa: T201 - pytest shows it with a failure
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "DARKROOM_WEBHOOKS_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    return Kills(Random(seed), start_service, settings)


@pytest.mark.parametrize(
    ("deliveries", "count"),
    [
        (400, 5),
        pytest.param(10_000, 100, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
async def test_no_kill_loses_a_delivery_or_hides_an_attempt(
    kills: Kills, shop: Shop, receiver: Receiver, rows: asyncpg.Connection, deliveries: int, count: int
) -> None:
    """Each is received at least once, with one body; its attempts are numbered without a gap, and none is left open."""
    receiver.behave = kills.unsteady
    async with open_receiver() as broken:
        broken.behave = always(500)
        await (hopeless := await shop.another()).end(broken.url, HOPELESS)
        await hopeless.execute(ONE_ATTEMPT_LEFT)
        await kills.run(shop, receiver, deliveries, count)
        await eventually(partial(_is_done, shop), seconds=300, what="no delivery is pending")
        requests = receiver.requests + broken.requests
    arrived = Counter(request.delivery_id for request in requests)
    logged = await rows.fetch(LOGGED)
    assert arrived.keys() == {row["id"] for row in logged}
    assert len(logged) == deliveries + HOPELESS
    assert [_contradiction(row, arrived[row["id"]], hopeless) for row in logged if row] == [None] * len(logged)
    assert {request.delivery_id: request.body for request in requests} == {row["id"]: row["body"] for row in logged}
    assert len({(request.delivery_id, request.body) for request in requests}) == len(logged)


async def _is_done(shop: Shop) -> bool:
    return await shop.count("pending") == 0


def _contradiction(row: Any, requests: int, hopeless: Shop) -> str | None:
    """Return what of a delivery does not fit its attempts and requests."""
    *earlier, last = row["outcomes"]
    is_hopeless = row["tenant_id"] == hopeless.tenant
    facts = {
        "every request is logged": requests <= len(row["numbers"]),
        "the numbers have no gap": row["numbers"] == list(range(10 if is_hopeless else 1, row["attempt"] + 1)),
        "every attempt has ended": None not in row["outcomes"],
        "the last one decides": last == row["status"] == ("failed" if is_hopeless else "succeeded"),
        "the earlier ones did not": set(earlier) <= {"lost", "failed"},
        "failures are counted": row["failures"] == row["outcomes"].count("failed") + (9 if is_hopeless else 0),
        "nobody holds it": row["lease_token"] is None and row["next_attempt_at"] is None,
        "a letter says so": (row["letters"], row["dead_lettered"]) == ((1, True) if is_hopeless else (0, False)),
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    return f"{dict(row)}: {wrong}" if wrong else None
