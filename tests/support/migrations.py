"""Brings a database to the current schema."""

import asyncio

import asyncpg
from contracts.schema import migrations


def migrate(url: str) -> None:
    """Apply every migration to an empty database. Blocking."""
    asyncio.run(_migrate(url))


async def _migrate(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for migration in migrations():
            async with connection.transaction():
                await connection.execute(migration.sql)
    finally:
        await connection.close()
