"""The commands of operators against the service, over HTTP."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.operations.commands.desk import Desk
from tests.integration.operations.http_api import open_api


@pytest.fixture
async def desk(database: str, rows: asyncpg.Connection) -> AsyncIterator[Desk]:
    """Serve operations without its loops, and return what runs `darkroom` with keys for it."""
    async with open_api(database, rows) as api, Desk.serving(api.app, rows) as opened:
        yield opened
