"""The API of the service, and jobs in its database."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.operations.http_api import open_api
from tests.integration.operations.jobs import Jobs
from tests.support.declared import Api


@pytest.fixture
async def jobs(database: str) -> AsyncIterator[Jobs]:
    """Connect a factory of jobs."""
    async with Jobs.connected(database) as made:
        yield made


@pytest.fixture
async def api(database: str, rows: asyncpg.Connection) -> AsyncIterator[Api]:
    async with open_api(database, rows) as opened:
        yield opened
