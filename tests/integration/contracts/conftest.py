"""Connections to real databases, since the schema is a contract too."""

from collections.abc import AsyncIterator

import asyncpg
import pytest


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection to a migrated database."""
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()
