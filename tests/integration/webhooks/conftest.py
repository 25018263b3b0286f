"""Dispatch and the API in the test's own process, a receiver, and jobs whose ends are delivered."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.webhooks.dispatchers import Dispatch, open_dispatch
from tests.integration.webhooks.http_api import open_api
from tests.integration.webhooks.jobs import Shop
from tests.support.declared import Api
from tests.support.receiver import Receiver, open_receiver


@pytest.fixture
async def shop(rows: asyncpg.Connection) -> Shop:
    """Make a tenant."""
    return await Shop.open(rows)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Listen for webhooks."""
    async with open_receiver() as opened:
        yield opened


@pytest.fixture
async def dispatch(database: str) -> AsyncIterator[Dispatch]:
    """Open the parts of a dispatcher; a test drives its rounds."""
    async with open_dispatch(database) as opened:
        yield opened


@pytest.fixture
async def api(database: str, rows: asyncpg.Connection) -> AsyncIterator[Api]:
    """Open the API with one master key, `old`."""
    async with open_api(database, rows) as opened:
        yield opened
