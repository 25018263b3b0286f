"""Apply migrations one by one while services keep running.

A statement that waits for a table's lock blocks every later statement on that table: an INSERT behind an ALTER TABLE
that waits for a pg_dump, for example. So a migration in a transaction waits for each lock only briefly, gives up and
tries again. A migration outside a transaction (CREATE INDEX CONCURRENTLY) blocks nobody and waits for the others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from chassis.backoff import Backoff
from chassis.database_errors import describe, remove_contents
from darkroom_contracts.schema import Migration
from operations.errors import OperationsError
from operations.migrations import store
from operations.migrations.records import AppliedMigration

Report = Callable[[str], None]
"""Takes a sentence on what the migrator waits for."""

CONNECT_TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
APPLICATION = {"application_name": "darkroom-migrate"}

_HELD_UP = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_QUOTING = ("22", "23")
"""SQLSTATE classes whose message may quote a value: data exceptions and constraint violations."""
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


class MigrationError(OperationsError):
    """The database can't be brought to this code's schema. A failed migration in a transaction changed nothing."""


class Patience(msgspec.Struct, frozen=True):
    """How long the migrator waits for other sessions, in seconds."""

    lock: float = 2.0
    """For one lock of a migration in a transaction: the longest time that other statements wait behind it."""
    total: float = 600.0
    """For all locks of one migration, over all its tries; and for another migrator to end."""
    longest_pause: float = 15.0
    """Between two tries; the pauses begin at half a second and double."""
    report: float = 10.0
    """Between two reports on the same wait."""


class Migrator:
    """A session that applies migrations, alone once `exclude_others` has returned."""

    def __init__(self, url: str, connection: asyncpg.Connection, patience: Patience, report: Report) -> None:
        self._url = url
        self._connection = connection
        self._patience = patience
        self._report = report

    async def exclude_others(self) -> None:
        """Take the lock between migrators, which ends with the session. Raises MigrationError.

        Polls: a session that waits inside `pg_advisory_lock` has a snapshot, and the CREATE INDEX CONCURRENTLY of the
        session that holds the lock would wait for that snapshot to end.
        """
        deadline = time.monotonic() + self._patience.total
        async with self._reporting("Another migration is under way"):
            while not await store.try_lock_migrations(self._connection):
                if time.monotonic() >= deadline:
                    raise MigrationError(
                        f"Another migration is still under way after {self._patience.total:g} s; let it end, then try"
                        " again. In pg_stat_activity its application_name is darkroom-migrate."
                    )
                await asyncio.sleep(FIRST_PAUSE_SECONDS)

    async def apply(self, migration: Migration) -> None:
        """Apply a migration and record it. Raises MigrationError."""
        try:
            if migration.in_transaction:
                await self._apply_in_transaction(migration)
            else:
                await self._apply_outside(migration)
        except _FAILURES as error:
            raise MigrationError(f"{_title(migration)} failed: {reason(error)}.") from error

    async def _apply_in_transaction(self, migration: Migration) -> None:
        deadline = time.monotonic() + self._patience.total
        backoff, failures = Backoff(FIRST_PAUSE_SECONDS, self._patience.longest_pause), 0
        while (obstacle := await self._try(migration)) is not None:
            oldest = await store.oldest_transaction(self._connection)
            if time.monotonic() >= deadline:
                raise MigrationError(
                    f"{_title(migration)} was held up for {self._patience.total:g} s: {obstacle}. {oldest}"
                    " Let it end, then try again."
                )
            self._report(f"{_title(migration)} is held up and will be tried again: {obstacle}. {oldest}")
            failures += 1
            await asyncio.sleep(backoff.pause(failures))

    async def _try(self, migration: Migration) -> str | None:
        """Apply and record the migration in one transaction. Return None, or the reason why it was held up."""
        await store.set_lock_timeout(self._connection, self._patience.lock)
        try:
            async with self._connection.transaction():
                await self._connection.execute(migration.sql)
                await store.record_migration(self._connection, AppliedMigration.of(migration))
        except _HELD_UP as error:
            return reason(error)
        return None

    async def _apply_outside(self, migration: Migration) -> None:
        """Apply the migration again after an interruption, which may have left an invalid index or no record."""
        await store.set_lock_timeout(self._connection, 0)
        async with self._reporting(f"{_title(migration)} is still at work"):
            for name, drop in await store.invalid_indexes(self._connection, migration.sql):
                self._report(f"Dropping the index {name}, which an interrupted {_title(migration)} left invalid.")
                await self._connection.execute(drop)
            await self._connection.execute(migration.sql)
            await store.record_migration(self._connection, AppliedMigration.of(migration))

    @asynccontextmanager
    async def _reporting(self, progress: str) -> AsyncIterator[None]:
        """Report at intervals, from a second session, what the migrator waits for."""
        reporting = asyncio.create_task(self._report_repeatedly(progress))
        try:
            yield
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])

    async def _report_repeatedly(self, progress: str) -> None:
        while True:
            await asyncio.sleep(self._patience.report)
            self._report(f"{progress}. {await self._oldest_transaction()}")

    async def _oldest_transaction(self) -> str:
        try:
            observer = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=APPLICATION)
            try:
                return await store.oldest_transaction(observer, self._connection.get_server_pid())
            finally:
                await observer.close()
        except _FAILURES as error:
            return f"What it waits for can't be determined: {reason(error)}."


def reason(error: Exception) -> str:
    """Return why a statement failed. Removes the values of rows, which Postgres quotes, from the error as well."""
    if not isinstance(error, asyncpg.PostgresError):
        return str(error) or type(error).__name__
    quotes_values = (error.sqlstate or "")[:2] in _QUOTING
    text = describe(error) if quotes_values else str(error.args[0])
    remove_contents(error)
    return text


def _title(migration: Migration) -> str:
    return f"Migration {migration.version} ({migration.name})"
