"""The fixtures that all tests share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from darkroom_contracts.models import Catalogue, load_catalogue
from tests.support.endpoints import Broker, Bucket, Controlled, Database, ObjectStore
from tests.support.parts_host import Parts
from tests.support.processes import ServiceProcess
from tests.support.renderers import STAND_IN_WORKER, search_path
from tests.support.servers import Server, discard_all
from tests.support.services import Services, source

BrokerFactory = Callable[[], Awaitable[Broker]]
DatabaseFactory = Callable[[], Awaitable[Database]]
ObjectStoreFactory = Callable[[], Awaitable[ObjectStore]]
ServiceFactory = Callable[..., Awaitable[ServiceProcess]]
Part = TypeVar("Part", bound=Controlled)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the catalogue that is shipped."""
    return load_catalogue(Path(__file__).parents[2] / "deploy" / "models.toml")


@pytest.fixture(scope="session")
async def services(parts: Parts) -> Services:
    """Start the parts that all tests of the run share. A test that stops a part asks for a private one."""
    return Services(*await asyncio.gather(*(parts.request(name) for name in ("broker", "database", "object_store"))))


@pytest.fixture
async def database(parts: Parts) -> AsyncIterator[str]:
    """URL of a fresh, migrated database."""
    url = await parts.request("take_database")
    yield url
    await parts.request("drop_database", url)


@pytest.fixture
async def rows(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection to `database`, to read and change rows."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def empty_database(services: Services, parts: Parts) -> AsyncIterator[str]:
    """URL of a fresh database without any table."""
    url = await services.database.create_database(migrated=False)
    yield url
    await parts.request("drop_database", url)


@pytest.fixture
async def vhost(parts: Parts) -> AsyncIterator[str]:
    """AMQP URL of a fresh vhost."""
    url = await parts.request("take_vhost")
    yield url
    await parts.request("delete_vhost", url)


@pytest.fixture
async def bucket(parts: Parts) -> AsyncIterator[Bucket]:
    """Create a bucket."""
    store: ObjectStore = await parts.request("object_store")
    fresh = await store.create_bucket()
    yield fresh
    await store.delete_bucket(fresh)


@pytest.fixture
async def private_servers() -> AsyncIterator[list[Server]]:
    """Servers that a test started for itself; none outlives it."""
    servers: list[Server] = []
    yield servers
    await discard_all(servers)


@pytest.fixture
async def private_rabbitmq(private_servers: list[Server]) -> BrokerFactory:
    """Return a factory of RabbitMQ nodes that this test can stop, kill and restart."""
    return lambda: _start(source().broker(in_memory=False), private_servers)


@pytest.fixture
async def suspendable_rabbitmq(services: Services, private_rabbitmq: BrokerFactory) -> Broker:
    """Return a RabbitMQ node whose queues can be suspended: the shared one, or a private one if that is external."""
    return services.broker if services.broker.server else await private_rabbitmq()


@pytest.fixture
async def private_postgres(private_servers: list[Server]) -> DatabaseFactory:
    """Return a factory of PostgreSQL servers that this test can stop, kill and restart."""
    return lambda: _start(source().database(), private_servers)


@pytest.fixture
async def private_s3(private_servers: list[Server]) -> ObjectStoreFactory:
    """Return a factory of S3 endpoints that this test can stop, kill and restart."""
    return lambda: _start(source().object_store(), private_servers)


async def _start(part: Part, servers: list[Server]) -> Part:
    assert part.own_server is not None
    servers.append(part.own_server)
    await part.own_server.start()
    return part


@pytest.fixture
async def start_service(tmp_path: Path, vhost: str) -> AsyncIterator[ServiceFactory]:
    """Return a factory of service processes: `await start_service("gateway", {**settings})`.

    A worker renders with the stand-in where `stand_in` says so.

    All are reaped when the test ends, frozen ones included, and before its vhost is deleted: one that declares queues
    there meanwhile ends the broker's supervisor of dead-lettering, and then no quorum queue works any more.
    """
    running: list[ServiceProcess] = []

    async def start(
        service: str,
        settings: dict[str, str],
        *,
        name: str | None = None,
        wait_ready: bool = True,
        stand_in: bool = False,
    ) -> ServiceProcess:
        label = name or f"{service}-{len(running) + 1}"
        environment = settings | ({"PYTHONPATH": search_path()} if stand_in else {})
        command = STAND_IN_WORKER if stand_in else None
        process = ServiceProcess(service, environment, tmp_path / f"{label}.log", command=command)
        running.append(process)
        if wait_ready:
            await process.ready()
        return process

    yield start
    for process in running:
        process.kill()
