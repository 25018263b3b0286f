"""Fixtures of whole stacks: a shared one, and private ones that a test may break."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.endpoints import Broker, Database, ObjectStore
from tests.support.http_client import Client
from tests.support.processes import ServiceProcess
from tests.support.services import Services
from tests.support.stack import MODEL, WARM_SECONDS, Places, Stack

WORKERS = ("ansel", "dorothea")
"""Names of the shared workers."""

StackFactory = Callable[..., Awaitable[Stack]]


@asynccontextmanager
async def stack_on(
    database: Database,
    broker: Broker,
    store: ObjectStore,
    models_home: Path,
    logs: Path,
    pooled: Callable[[str], str] | None = None,
) -> AsyncIterator[Stack]:
    """Run a stack in a new database, vhost and bucket, and remove them at the end.

    `pooled` returns the database's URL through a pooler, which services use in addition to the direct one.
    """
    async with AsyncExitStack() as clean_up:
        url = await database.create_database()
        clean_up.push_async_callback(database.drop_database, url)
        vhost = await broker.create_vhost()
        clean_up.push_async_callback(broker.delete_vhost, vhost)
        bucket = await store.create_bucket()
        clean_up.push_async_callback(store.delete_bucket, bucket)
        stack = Stack(Places(url, vhost, bucket, models_home, logs))
        if pooled:
            stack.settings |= {"DARKROOM_DATABASE_URL": pooled(url), "DARKROOM_DATABASE_DIRECT_URL": url}
        clean_up.callback(stack.kill)
        await stack.start()
        yield stack


@pytest.fixture(scope="session")
async def stack(services: Services, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Start the stack that tests share. A test that stops one of its services starts it again."""
    logs = tmp_path_factory.mktemp("stack")
    async with stack_on(services.database, services.broker, services.object_store, tiny_model.parent, logs) as running:
        yield running


@pytest.fixture(scope="session")
async def warm_workers(stack: Stack) -> dict[str, ServiceProcess]:
    """Two workers for MODEL, which warm up once for all tests. They render with the real model."""
    started = {name: stack.launch_worker(name, model=MODEL, renders=True) for name in WORKERS}
    await asyncio.gather(*(worker.ready(WARM_SECONDS) for worker in started.values()))
    return started


@pytest.fixture
def workers(warm_workers: dict[str, ServiceProcess]) -> Iterator[dict[str, ServiceProcess]]:
    """Return the shared stack's workers by name. A test may freeze them, but not stop them."""
    yield warm_workers
    for worker in warm_workers.values():
        worker.thaw()


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    """Open a client of the shared stack."""
    async with await stack.client() as shared:
        yield shared


@pytest.fixture
async def start_stack(services: Services, tiny_model: Path, tmp_path: Path) -> AsyncIterator[StackFactory]:
    """Return a function that starts a private stack on the given parts, or on the shared ones."""
    async with AsyncExitStack() as clean_up:

        async def start(
            database: Database | None = None,
            broker: Broker | None = None,
            store: ObjectStore | None = None,
            pooled: Callable[[str], str] | None = None,
        ) -> Stack:
            parts = database or services.database, broker or services.broker, store or services.object_store
            return await clean_up.enter_async_context(stack_on(*parts, tiny_model.parent, tmp_path, pooled))

        yield start
