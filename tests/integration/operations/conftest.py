"""A migrated database as operations sees it, and jobs in it."""

from collections.abc import AsyncIterator

import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.integration.operations.jobs import Jobs


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    """The pool that the service would have."""
    async with Database(DatabaseSettings(database_url=database), "operations-test") as opened:
        yield opened


@pytest.fixture
async def jobs(database: str) -> AsyncIterator[Jobs]:
    """Makes jobs and looks at them."""
    async with Jobs.connected(database) as made:
        yield made
