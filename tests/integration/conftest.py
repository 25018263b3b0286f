"""A pool of the service under test, and clients of its API: the fixture `api` of its folder."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.api import Scope
from tests.support.declared import Api


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """Open a pool as services do."""
    async with Database(DatabaseSettings(database_url=database), "test") as opened:
        yield opened


@pytest.fixture
async def client(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a tenant."""
    async with api.client("shop") as http:
        yield http


@pytest.fixture
async def stranger(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of another tenant."""
    async with api.client("stranger") as http:
        yield http


@pytest.fixture
async def operator(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client with an operator's key, which belongs to a third tenant."""
    async with api.client("operators", Scope.OPERATOR) as http:
        yield http


@pytest.fixture
async def observer(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client with an observer's key of the operators' tenant."""
    async with api.client("operators", Scope.OBSERVER) as http:
        yield http
