import asyncio

import asyncpg
import pytest

from darkroom_contracts.schema import migrations
from operations.migrations.migrate import migrate
from operations.migrations.migrator import MigrationError
from tests.support.ports import free_port


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_an_empty_database_gets_every_migration(empty_database: str) -> None:
    """An empty database gets every migration in order, and a second call finds nothing to do."""
    applied = await migrate(empty_database)
    assert applied == migrations()
    assert await migrate(empty_database) == []


async def test_two_at_once_apply_once(empty_database: str) -> None:
    """Of concurrent calls one applies the migrations, and the others find them applied."""
    results = await asyncio.gather(*(migrate(empty_database) for _ in range(4)))
    assert sorted(len(applied) for applied in results) == [0, 0, 0, len(migrations())]


async def test_an_edited_migration_is_refused(empty_database: str) -> None:
    """A migration whose text changed after it was applied is refused by name."""
    await migrate(empty_database)
    await _execute(empty_database, "UPDATE schema_migrations SET sha256 = 'another' WHERE version = 1")
    with pytest.raises(MigrationError, match=r"Migration 1 \(foundation\) was applied with another text"):
        await migrate(empty_database)


async def test_a_newer_database_is_refused(empty_database: str) -> None:
    """A database with a migration that this code does not know is refused."""
    await migrate(empty_database)
    await _execute(empty_database, "INSERT INTO schema_migrations (version, name, sha256) VALUES (9999, 'later', '')")
    with pytest.raises(MigrationError, match=r"migration 9999 \(later\).*run a newer one"):
        await migrate(empty_database)


async def test_a_migration_that_fails_leaves_nothing(empty_database: str) -> None:
    """A failed migration leaves neither tables nor a record."""
    await _execute(empty_database, "CREATE TABLE dead_letters ()")
    with pytest.raises(
        MigrationError, match=r"Migration 1 \(foundation\) failed: relation .dead_letters. already exists"
    ):
        await migrate(empty_database)
    await _execute(empty_database, "DROP TABLE dead_letters")
    assert await migrate(empty_database) == migrations()


async def test_waiting_for_postgres_ends() -> None:
    """The wait for Postgres ends with a sentence."""
    with pytest.raises(MigrationError, match=r"Postgres can't be reached within 0\.1 s"):
        await migrate(f"postgresql://u:p@127.0.0.1:{free_port()}/none", wait_seconds=0.1)
