"""A connection pool of the service, and jobs in its database."""

from collections.abc import AsyncIterator

import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
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
