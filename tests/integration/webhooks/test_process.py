"""The service as a process: killed at every edge of an attempt, drained, measured."""

import asyncio
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import asyncpg
import httpx2
import pytest

from darkroom_contracts.states import DeliveryOutcome
from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.fixtures import ServiceFactory
from tests.support.processes import ServiceProcess
from tests.support.receiver import Answer, Received, Receiver, open_receiver
from tests.support.renderers import search_path
from tests.support.waiting import eventually

LEASES_OVER = (
    "UPDATE webhook_deliveries SET lease_expires_at = now() - interval '1 second' WHERE lease_token IS NOT NULL"
)
FaultyService = Callable[[str], ServiceProcess]


class Crowd:
    """Counts the requests that wait for an answer, and the most that ever did: in all, of a tenant, at an origin."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()

    def is_of(self, count: int) -> bool:
        return self._now["all"] == count

    async def take(self, request: Received) -> Answer:
        """Answer a request to `/<tenant>/works` at once, and one to `/<tenant>/hangs` when it is released."""
        _, tenant, what = request.path.split("/")
        keys = ("all", f"tenant {tenant}", f"http://{request.headers['host']}")
        for key in keys:
            self._now[key] += 1
            self.most[key] = max(self.most[key], self._now[key])
        if what == "hangs":
            await self.release.wait()
        self._now.subtract(keys)
        return Answer()


@pytest.fixture
def settings(database: str) -> dict[str, str]:
    return {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "DARKROOM_WEBHOOKS_LEASE_SECONDS": "3",
    }


@pytest.fixture
def start_faulty(settings: dict[str, str], tmp_path: Path) -> Iterator[FaultyService]:
    """Return a factory of services that kill themselves at a point of tests.support.faults."""
    started: list[ServiceProcess] = []

    def start(point: str) -> ServiceProcess:
        command = (sys.executable, "-m", "tests.support.faults", "webhooks", "kill", point)
        environment = settings | {"PYTHONPATH": search_path()}
        started.append(ServiceProcess("webhooks", environment, tmp_path / f"{point}.log", command=command))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.mark.parametrize(
    ("point", "outcomes"),
    [
        ("before_attempt_is_committed", ["succeeded"]),
        ("before_send", ["lost", "succeeded"]),
        ("after_send", ["lost", "succeeded"]),
        ("before_complete", ["lost", "succeeded"]),
        ("before_completion_is_committed", ["lost", "succeeded"]),
        ("after_complete", ["succeeded"]),
    ],
)
async def test_killed_at_any_edge_a_delivery_arrives(
    point: str,
    outcomes: list[str],
    start_faulty: FaultyService,
    start_service: ServiceFactory,
    settings: dict[str, str],
    shop: Shop,
    receiver: Receiver,
) -> None:
    """None is lost, none is stuck, and every request that arrived is in the log."""
    faulty = start_faulty(point)
    await faulty.ready()
    await shop.end(receiver.url)
    assert await faulty.wait() == -signal.SIGKILL
    await shop.execute(LEASES_OVER)  # before the next process leases anything
    await start_service("webhooks", settings)
    await eventually(lambda: _count_is(shop, "succeeded", 1), what="the delivery succeeded")
    attempts = await shop.attempts()
    assert [row["outcome"] for row in attempts] == outcomes
    assert [row["number"] for row in attempts] == list(range(1, len(outcomes) + 1))
    assert 1 <= len(receiver.requests) <= len(attempts)
    assert len({request.body for request in receiver.requests}) == 1


async def test_sigterm_drains(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop, receiver: Receiver
) -> None:
    """What is in flight is completed, and nothing else is begun."""
    release = asyncio.Event()

    async def wait(request: Received) -> Answer:
        await release.wait()
        return Answer()

    receiver.behave = wait
    service = await start_service("webhooks", settings)
    await shop.end(receiver.url)
    await receiver.received(1)
    service.terminate()
    await eventually(lambda: "service draining" in service.output(), what="it drains")
    await shop.end(f"{receiver.url}/later")
    release.set()
    assert await service.wait() == 0
    assert (await shop.count("succeeded"), await shop.count("pending")) == (1, 1)
    assert [row["outcome"] for row in await shop.attempts()] == ["succeeded"]


async def test_the_settings_bound_what_is_in_flight(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop
) -> None:
    """In all, of a tenant and to an origin, while receivers hang that have worked before, and after that."""
    bounds = {"IN_FLIGHT": "8", "IN_FLIGHT_PER_TENANT": "3", "IN_FLIGHT_PER_ORIGIN": "2"}
    bounds["LEASE_SECONDS"] = "60"  # longer than receivers hang
    await start_service("webhooks", settings | {f"DARKROOM_WEBHOOKS_{name}": bounds[name] for name in bounds})
    crowd = Crowd()
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(open_receiver()) for _ in range(5)]
        shops = [shop, *[await shop.another() for _ in range(3)]]
        for receiver in receivers:
            receiver.behave = crowd.take
            for number, tenant in enumerate(shops):
                await tenant.end(f"{receiver.url}/{number}/works")
        await eventually(lambda: _count_is(shop, "succeeded", 20), what="every receiver has worked for every tenant")
        for number, in_all in enumerate((3, 6, 8, 8)):
            for receiver in receivers:
                await shops[number].end(f"{receiver.url}/{number}/hangs", 3)
            await eventually(partial(crowd.is_of, in_all), what=f"{in_all} are in flight")
        crowd.release.set()
        await eventually(lambda: _count_is(shop, "succeeded", 80), what="all have succeeded")
    assert crowd.most["all"] == 8
    assert max(crowd.most[f"tenant {number}"] for number in range(4)) == 3
    assert max(crowd.most[receiver.url] for receiver in receivers) == 2


async def test_links_begin_with_the_public_url(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop, receiver: Receiver
) -> None:
    """Those of pictures, in the body of a delivery."""
    await start_service("webhooks", settings | {"DARKROOM_PUBLIC_URL": "https://darkroom.example"})
    job_id = await shop.succeed(receiver.url)
    [request] = await receiver.received(1)
    [output] = request.event["data"]["outputs"]
    assert output["link"] == f"https://darkroom.example/v1/jobs/{job_id}/outputs/0"


async def test_the_metrics(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop, receiver: Receiver, rows: asyncpg.Connection
) -> None:
    """Attempts by outcome, latency, and what is due, in flight and oldest."""
    service = await start_service("webhooks", settings)
    await shop.end(receiver.url, 3)
    await eventually(lambda: _count_is(shop, "succeeded", 3))
    sample = 'darkroom_webhook_attempts_total{outcome="succeeded",status="2xx"}'
    assert await service.metric(sample) == 3
    assert await service.metric("darkroom_webhook_delivery_seconds_count") == 3
    for gauge in ("deliveries_waiting", "deliveries_due", "deliveries_in_flight", "oldest_due_seconds"):
        name = f"darkroom_webhook_{gauge}"
        await eventually(partial(_metric_is, service, name, 0), what=f"{name} is 0")
    assert await rows.fetchval("SELECT dispatched_since IS NOT NULL FROM instance")


async def test_attempts_are_counted_from_zero(start_service: ServiceFactory, settings: dict[str, str]) -> None:
    """Every outcome has a counter before the first attempt, so that alerts see none, and the first one."""
    service = await start_service("webhooks", settings)
    async with httpx2.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{service.url}/metrics")).text
    found = re.findall(r'^darkroom_webhook_attempts_total\{outcome="(\w+)",status="\w+"\} 0.0$', metrics, re.MULTILINE)
    assert set(found) == set(DeliveryOutcome)


async def _count_is(shop: Shop, status: str, count: int) -> bool:
    return await shop.count(status) == count


async def _metric_is(service: ServiceProcess, name: str, value: float) -> bool:
    return await service.metric(name) == value
