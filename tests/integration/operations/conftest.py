"""A connection pool of the service, its API, an operator's client of it, and jobs in its database."""

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.integration.operations.http_api import Api, open_api
from tests.integration.operations.jobs import Jobs


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """Open a pool as the service does."""
    async with Database(DatabaseSettings(database_url=database), "operations-test") as opened:
        yield opened


@pytest.fixture
async def jobs(database: str) -> AsyncIterator[Jobs]:
    """Connect a factory of jobs."""
    async with Jobs.connected(database) as made:
        yield made


@pytest.fixture
async def api(database: str, rows: asyncpg.Connection) -> AsyncIterator[Api]:
    async with open_api(database, rows) as opened:
        yield opened


@pytest.fixture
async def operator(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    async with api.client() as http:
        yield http
