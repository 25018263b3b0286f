"""The API of operations, and an operator's client of it."""

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from tests.integration.operations.http_api import Api, open_api


@pytest.fixture
async def api(database: str, rows: asyncpg.Connection) -> AsyncIterator[Api]:
    async with open_api(database, rows) as opened:
        yield opened


@pytest.fixture
async def operator(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    async with api.client() as http:
        yield http
