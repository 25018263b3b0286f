"""The service as a process beside receivers that misbehave in every way."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
import psutil
import pytest
import trustme

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.certificates import serving
from tests.support.fixtures import ServiceFactory
from tests.support.processes import ServiceProcess
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually
from tests.support.webhook_misbehaviour import ENDLESS, FAILURES, GZIP_BOMB
from tests.support.webhook_receivers import Behaviour, answering, healthy, receiving
from webhooks.sending.outcome import FailureKind

WAVES = 8
TENANTS = 3
"""New ones of each wave, each with a delivery to each receiver: a tenant's receiver that failed is tried less often."""
PAUSE_SECONDS = 0.03
LONG_AGO = datetime.now(UTC) - timedelta(days=30)
HANGING = frozenset(name for name, each in FAILURES.items() if each.kind is FailureKind.TIMEOUT)
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"
BEHAVIOURS: dict[str, Behaviour] = {
    **{name: each.behaviour for name, each in FAILURES.items()},
    **ENDLESS,
    "a gzip bomb": answering(GZIP_BOMB),
    "a redirect to itself": answering(REDIRECT),
}
WORDS = {
    **{name: each.word for name, each in FAILURES.items() if name not in HANGING},
    "a redirect to itself": "answered 302",
    "an expired certificate": "expired",
    "a certificate of another host": "is not valid",
}
"""A part of the error of each that fails in time. A response whose body is cut is received."""
ATTEMPTED = """
    FROM webhook_attempts AS attempt JOIN webhook_deliveries ON id = delivery_id
    WHERE attempt.outcome IS NOT NULL AND url = ANY ($1)
"""
TRIED = f"SELECT count(DISTINCT delivery_id) {ATTEMPTED}"
FOUND = f"SELECT DISTINCT url, attempt.outcome, attempt.error {ATTEMPTED}"


@asynccontextmanager
async def misbehaving(authority: trustme.CA) -> AsyncIterator[dict[str, str]]:
    """Run a receiver of each kind, and yield the kinds by URL."""
    expired = authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1))
    certificates = {
        "an expired certificate": expired,
        "a certificate of another host": authority.issue_cert("hooks.example.com"),
    }
    async with AsyncExitStack() as running:
        urls = {}
        for name, behaviour in BEHAVIOURS.items():
            receiver = await running.enter_async_context(receiving(behaviour))
            urls[f"http://127.0.0.1:{receiver.port}/"] = name
        for name, certificate in certificates.items():
            receiver = await running.enter_async_context(receiving(healthy, secure=serving(certificate)))
            urls[f"https://127.0.0.1:{receiver.port}/"] = name
        yield urls


class Steady:
    """Jobs of a tenant that end at a steady pace, and when their webhooks arrive at a healthy receiver."""

    def __init__(self, shop: Shop, receiver: Receiver) -> None:
        self._shop = shop
        self._receiver = receiver
        self._ended: dict[str, float] = {}
        self._arrived: dict[str, float] = {}
        receiver.behave = self._arrive

    @property
    def latencies(self) -> list[float]:
        """Seconds from each commit to the arrival, the shortest first."""
        return sorted(self._arrived[job_id] - ended for job_id, ended in self._ended.items())

    async def run(self, stop: asyncio.Event) -> None:
        """End jobs until `stop` is set, and wait for their webhooks."""
        while not stop.is_set():
            [job_id] = await self._shop.end(self._receiver.url)
            self._ended[str(job_id)] = time.monotonic()
            await asyncio.sleep(PAUSE_SECONDS)
        await eventually(lambda: self._ended.keys() <= self._arrived.keys(), what="all healthy deliveries arrive")

    async def _arrive(self, request: Received) -> Answer:
        self._arrived[request.event["data"]["id"]] = time.monotonic()
        return Answer()


@asynccontextmanager
async def ending_jobs(database: str, receiver: Receiver) -> AsyncIterator[Steady]:
    """Let jobs end until the context does, and wait for their webhooks."""
    connection, stop = await asyncpg.connect(database), asyncio.Event()
    steady = Steady(await Shop.open(connection), receiver)
    ending = asyncio.create_task(steady.run(stop))
    try:
        yield steady
    finally:
        stop.set()
        await ending
        await connection.close()


@pytest.fixture
async def service(
    start_service: ServiceFactory, database: str, authority: trustme.CA, tmp_path: Path
) -> ServiceProcess:
    """Start the service, which trusts the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
    }
    return await start_service("webhooks", settings)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_healthy_deliveries_are_on_time_and_memory_is_flat(
    service: ServiceProcess,
    authority: trustme.CA,
    database: str,
    rows: asyncpg.Connection,
    shop: Shop,
    receiver: Receiver,
) -> None:
    """Each way to misbehave ends as it should in the log, leaves no memory behind and delays no other receiver."""
    async with misbehaving(authority) as urls, ending_jobs(database, receiver) as steady:
        ending = {url: name for url, name in urls.items() if name not in HANGING}
        await end_jobs(shop, urls.keys() - ending.keys())
        resident = []
        for wave in range(1, WAVES + 1):
            await end_jobs(shop, ending)
            resident.append(await resident_once_tried(service, rows, ending, wave * TENANTS))
        found = {ending[row["url"]]: row for row in await rows.fetch(FOUND, list(ending))}
    failed = {name: row["error"] for name, row in found.items() if row["outcome"] == "failed"}
    assert failed.keys() == WORDS.keys()
    assert {name: error for name, error in failed.items() if WORDS[name] not in error} == {}
    latencies = steady.latencies
    assert median(latencies) < 0.2
    assert latencies[len(latencies) * 99 // 100] < 1
    assert max(resident) < 80_000_000
    assert resident[-1] - resident[0] < 10_000_000


async def end_jobs(shop: Shop, urls: Iterable[str]) -> None:
    """Let new tenants each end a job for each of the URLs."""
    for url in urls:
        for _ in range(TENANTS):
            await (await shop.another()).end(url)


async def resident_once_tried(
    service: ServiceProcess, rows: asyncpg.Connection, urls: Collection[str], each: int
) -> int:
    """Wait until `each` deliveries to each URL have been tried, and return the resident memory of the service."""

    async def are_tried() -> bool:
        return bool(await rows.fetchval(TRIED, list(urls)) >= each * len(urls))

    await eventually(are_tried, what="the deliveries were tried", seconds=60)
    return int(psutil.Process(service.pid).memory_info().rss)
