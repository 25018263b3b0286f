"""Bring a database to the schema that this code expects, and its roles to their session defaults."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog

from darkroom_contracts.schema import Migration, migrations
from operations.migrations import store
from operations.migrations.migrator import (
    APPLICATION,
    CONNECT_TIMEOUT_SECONDS,
    MigrationError,
    Migrator,
    Patience,
    Report,
    reason,
)
from operations.migrations.records import AppliedMigration

CONNECT_PAUSE_SECONDS = 0.5

log = structlog.get_logger()


def _log(sentence: str) -> None:
    log.info("migrating", progress=sentence)


async def migrate(
    database_url: str,
    wait_seconds: float = 30.0,
    *,
    known: Sequence[Migration] | None = None,
    roles: Sequence[str] = (),
    patience: Patience | None = None,
    report: Report = _log,
) -> list[Migration]:
    """Apply the missing migrations in order, then set the session defaults. Return the migrations that were applied.

    `known` are all migrations, by default those of this code. `roles` get the session defaults in addition to the
    URL's own role. Waits up to `wait_seconds` for Postgres. Several callers may run at once: one applies the
    migrations, the others find them applied. Raises MigrationError.
    """
    async with _session(database_url, wait_seconds) as connection:
        migrator = Migrator(database_url, connection, patience or Patience(), report)
        await migrator.exclude_others()
        await store.create_schema_migrations(connection)
        pending = _pending(await store.applied_migrations(connection), migrations() if known is None else known)
        for migration in pending:
            await migrator.apply(migration)
        await _set_defaults(connection, roles)
    return pending


async def set_session_defaults(database_url: str) -> None:
    """Set the session defaults of the URL's role alone, in a copy of a migrated database. Raises MigrationError."""
    async with _session(database_url, CONNECT_TIMEOUT_SECONDS) as connection:
        await _set_defaults(connection, ())


async def _set_defaults(connection: asyncpg.Connection, roles: Sequence[str]) -> None:
    try:
        await store.set_session_defaults(connection, roles)
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"The session defaults can't be set: {reason(error)}."
            " A role may set its own; docs/operating.md says how to set those of another role."
        ) from error


@asynccontextmanager
async def _session(database_url: str, wait_seconds: float) -> AsyncIterator[asyncpg.Connection]:
    """Open a session. Its end releases the lock between migrators."""
    connection = await _connect(database_url, wait_seconds)
    try:
        yield connection
    finally:
        await connection.close()


async def _connect(database_url: str, wait_seconds: float) -> asyncpg.Connection:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=APPLICATION)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() >= deadline:
                reason = str(error) or "no answer"
                raise MigrationError(f"Postgres can't be reached within {wait_seconds:g} s: {reason}.") from error
        except (asyncpg.PostgresError, ValueError) as error:
            raise MigrationError(f"Postgres refused the connection: {error}.") from error
        await asyncio.sleep(CONNECT_PAUSE_SECONDS)


def _pending(applied: Sequence[AppliedMigration], known: Sequence[Migration]) -> list[Migration]:
    by_version = {migration.version: migration for migration in known}
    for record in applied:
        migration = by_version.get(record.version)
        if migration is None:
            raise MigrationError(
                f"The database has migration {record.version} ({record.name}), which this version of Darkroom does not"
                " know; run a newer one."
            )
        if AppliedMigration.of(migration).sha256 != record.sha256:
            raise MigrationError(
                f"Migration {record.version} ({record.name}) was applied with another text than the one at hand;"
                " released migrations are never edited, so restore its file."
            )
    done = {record.version for record in applied}
    return [migration for migration in known if migration.version not in done]
