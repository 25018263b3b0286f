"""A gateway in the test's process, with a real database and broker; tests run its loops explicitly."""

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from chassis.broker import Broker
from chassis.postgres import Database
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from gateway.app import open_app
from gateway.settings import Settings
from gateway.store import JobStore
from tests.integration.gateway.outbox import Outbox
from tests.support.declared import declared_client
from tests.support.keys import insert_key

Environment = dict[str, str]


@pytest.fixture
def environment(database: str, vhost: str) -> Environment:
    return {"DARKROOM_DATABASE_URL": database, "DARKROOM_AMQP_URL": vhost, "DARKROOM_RETRY_DELAYS": "1,2,3"}


@pytest.fixture
def settings(environment: Environment) -> Settings:
    return load(Settings, environment)


@pytest.fixture
async def key(rows: asyncpg.Connection) -> str:
    """Return a client's key of the tenant `default`."""
    return (await insert_key(rows)).reveal()


@pytest.fixture
async def client(settings: Settings, catalogue: Catalogue, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client of a gateway, with a valid key."""
    async with open_app(settings) as gateway, declared_client(gateway.http, key) as http:
        yield http


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    async with Database(settings.database, "test") as pool:
        yield pool


@pytest.fixture
def store(pool: Database) -> JobStore:
    return JobStore(pool)


@pytest.fixture
def outbox(store: JobStore, rows: asyncpg.Connection) -> Outbox:
    return Outbox(store, rows)


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    broker = Broker(vhost, "test")
    yield broker
    await broker.close()
