"""Brings a database to the schema that this code expects."""

import asyncio
import hashlib
import time

import asyncpg

from contracts.schema import Migration, migrations
from operations import store
from operations.records import AppliedMigration

CONNECT_TIMEOUT_SECONDS = 5.0
CONNECT_PAUSE_SECONDS = 0.5


class MigrationError(Exception):
    """The database can't be brought to this code's schema; nothing of the migration that failed was kept."""


async def migrate(database_url: str, wait_seconds: float = 30.0) -> list[Migration]:
    """Apply the missing migrations in order, each in one transaction with its record; return them.

    Waits up to `wait_seconds` for Postgres. Several callers may run at once: one applies, the others find it done.
    Raises MigrationError.
    """
    connection = await _connect(database_url, wait_seconds)
    try:
        await store.lock_migrations(connection)
        pending = _pending(await store.applied_migrations(connection), migrations())
        for migration in pending:
            await _apply(connection, migration)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError("Another session holds a lock that the migration needs; try again.") from error
    finally:
        await connection.close()  # and with the session goes its lock
    return pending


async def _connect(database_url: str, wait_seconds: float) -> asyncpg.Connection:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_SECONDS)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() >= deadline:
                reason = str(error) or "no answer"
                raise MigrationError(f"Postgres can't be reached within {wait_seconds:g} s: {reason}.") from error
        except (asyncpg.PostgresError, ValueError) as error:
            raise MigrationError(f"Postgres refuses the connection: {error}.") from error
        await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def _pending(applied: list[AppliedMigration], known: list[Migration]) -> list[Migration]:
    by_version = {migration.version: migration for migration in known}
    for record in applied:
        migration = by_version.get(record.version)
        if migration is None:
            raise MigrationError(
                f"The database has migration {record.version} ({record.name}), which this version of Darkroom does not"
                " know; run a newer one."
            )
        if _sha256(migration) != record.sha256:
            raise MigrationError(
                f"Migration {record.version} ({record.name}) was applied with another text than the one at hand;"
                " released migrations are never edited, so restore its file."
            )
    done = {record.version for record in applied}
    return [migration for migration in known if migration.version not in done]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await store.record_migration(
                connection, AppliedMigration(migration.version, migration.name, _sha256(migration))
            )
    except asyncpg.LockNotAvailableError:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"Migration {migration.version} ({migration.name}) failed: {error}.") from error


def _sha256(migration: Migration) -> str:
    return hashlib.sha256(migration.sql.encode()).hexdigest()
