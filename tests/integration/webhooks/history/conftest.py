"""A tenant's log."""

import asyncpg
import pytest

from tests.integration.webhooks.history.log import Log


@pytest.fixture
async def log(rows: asyncpg.Connection) -> Log:
    """Make a tenant."""
    return await Log.open(rows)
