"""A tenant's log, and a pool of the service."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.integration.webhooks.history.log import Log


@pytest.fixture
async def log(rows: asyncpg.Connection) -> Log:
    """Make a tenant."""
    return await Log.open(rows)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """Open a pool as the service does."""
    async with Database(DatabaseSettings(database_url=database), "webhooks-test") as opened:
        yield opened
