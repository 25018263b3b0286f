"""Brings a database to the schema that this code expects, and its roles to the session defaults."""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import structlog

from darkroom_contracts.schema import Migration, migrations
from operations import store
from operations.migrator import (
    APPLICATION,
    CONNECT_TIMEOUT_SECONDS,
    MigrationError,
    Migrator,
    Patience,
    Report,
    reason,
    record_of,
)
from operations.records import AppliedMigration

CONNECT_PAUSE_SECONDS = 0.5

__all__ = ["MigrationError", "Patience", "migrate", "set_session_defaults"]

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
    """Apply the missing migrations in order, then set the session defaults; return what was applied.

    `known` are all migrations, those of this code by default. `roles` get the session defaults besides the URL's own
    role. Waits up to `wait_seconds` for Postgres. Several callers may run at once: one applies, the others find it
    done. Raises MigrationError.
    """
    connection = await _connect(database_url, wait_seconds)
    try:
        migrator = Migrator(database_url, connection, patience or Patience(), report)
        await migrator.exclude_others()
        await store.create_schema_migrations(connection)
        pending = _pending(await store.applied_migrations(connection), migrations() if known is None else known)
        for migration in pending:
            await migrator.apply(migration)
        await _set_defaults(connection, roles)
    finally:
        await connection.close()  # and with the session goes its lock
    return pending


async def set_session_defaults(database_url: str) -> None:
    """Set the session defaults of the URL's role alone, in a copy of a migrated database. Raises MigrationError."""
    connection = await _connect(database_url, CONNECT_TIMEOUT_SECONDS)
    try:
        await _set_defaults(connection, ())
    finally:
        await connection.close()


async def _set_defaults(connection: asyncpg.Connection, roles: Sequence[str]) -> None:
    try:
        await store.set_session_defaults(connection, roles)
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"The session defaults can't be set: {reason(error)}."
            " A role may set its own; docs/operating.md says how to set those of another one."
        ) from error


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
            raise MigrationError(f"Postgres refuses the connection: {error}.") from error
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
        if record_of(migration).sha256 != record.sha256:
            raise MigrationError(
                f"Migration {record.version} ({record.name}) was applied with another text than the one at hand;"
                " released migrations are never edited, so restore its file."
            )
    done = {record.version for record in applied}
    return [migration for migration in known if migration.version not in done]
