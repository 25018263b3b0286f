"""The Postgres pool, connections outside it, and named queries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, NoReturn

import aiosql
import asyncpg
import msgspec
from prometheus_client import Counter

from chassis.connection import Connection, Row, StandingConnection
from chassis.database_errors import translated_errors
from chassis.errors import DatabaseBusyError
from chassis.settings import DatabaseSettings

__all__ = ["Connection", "Database", "Row", "StandingConnection", "connect_alone", "load_queries"]

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
RELEASE_TIMEOUT_SECONDS = 1.0
"""How long a connection that goes back may take to cancel its statement; beyond that it is closed."""
WAIT_TIMEOUT_SECONDS = 5.0
"""How long to wait for a connection that others use."""
MOST_WAITING = 1000
"""How many may wait for a connection."""

REFUSALS = Counter("darkroom_database_refusals_total", "Uses refused because the pool was full.", ["application"])


class Database:
    """A lazily connected pool: building it connects to nothing.

    How many use a connection is bounded, and so is how many wait for one. One of several connections is kept for
    `check`, so that a full pool never looks like a database that is away.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        application: str,
        *,
        connections: int | None = None,
        keep_one_for_check: bool = True,
    ) -> None:
        """`connections` is this pool's share of the process's connections; by default it has all of them."""
        most = connections or settings.database_connections
        kept = 1 if keep_one_for_check and most > 1 else 0
        self._application = application
        self._free = asyncio.Semaphore(most - kept)
        self._waiting = 0
        self._checks = asyncio.Semaphore(kept) if kept else self._free
        self._pool = asyncpg.create_pool(
            settings.database_url,
            min_size=0,
            max_size=most,
            init=_use_msgspec_for_json,
            reset=_reset_nothing,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings=_startup(application),
        )

    async def __aenter__(self) -> "Database":
        await self._pool
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit mode.

        Raises DatabaseUnavailableError, DatabaseBusyError, TransactionClashError, BadDataError.
        """
        await self._take_turn()
        try:
            async with self._pooled_connection() as connection:
                yield connection
        finally:
            self._free.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction. Raises as `connection` does."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def index_walk(self) -> AsyncIterator[Connection]:
        """A transaction whose queries read along indexes, whatever the statistics say.

        For counts that stop at a bound, and for tables that are empty most of the time, when plans are made.

        Raises as `connection` does.
        """
        async with self.transaction() as connection:
            await _queries.walk_indexes(connection)
            yield connection

    async def check(self) -> None:
        """Raises DatabaseUnavailableError unless Postgres answers."""
        async with self._checks, self._pooled_connection() as connection:
            await connection.execute("SELECT 1")

    async def _take_turn(self) -> None:
        """Wait for a connection to become free. Raises DatabaseBusyError."""
        if not self._free.locked():
            await self._free.acquire()
            return
        if self._waiting >= MOST_WAITING:
            self._refuse(f"{self._waiting} others wait for one of its connections already")
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            self._refuse(f"none of its connections became free within {WAIT_TIMEOUT_SECONDS:g} s")
        finally:
            self._waiting -= 1

    def _refuse(self, reason: str) -> NoReturn:
        REFUSALS.labels(self._application).inc()
        raise DatabaseBusyError(f"The pool {self._application} is full: {reason}.") from None

    @asynccontextmanager
    async def _pooled_connection(self) -> AsyncIterator[Connection]:
        """Whoever holds a turn never waits for others here, so a timeout means that Postgres does not let us in."""
        with translated_errors(in_doubt=False):
            driver = await self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
        try:
            yield Connection(driver)
        finally:
            with translated_errors():
                await self._pool.release(driver, timeout=RELEASE_TIMEOUT_SECONDS)


async def connect_alone(settings: DatabaseSettings, application: str) -> StandingConnection:
    """Open a connection outside the pool, for session locks and LISTEN, past any connection pooler.

    The role's keepalives let the server notice a client that fell silent and free its locks.
    Raises DatabaseUnavailableError.
    """
    with translated_errors():
        driver = await asyncpg.connect(
            settings.direct_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings=_startup(application),
        )
    return StandingConnection(driver)


def load_queries(package: str) -> Any:
    """The named queries of `queries.sql` in a package, as methods that take a connection and named parameters.

    Each name is followed by its parameters, `-- name: find_job(id)^`, and they must be those that the query uses.
    The suffix tells what it returns: none all rows, `^` one row or None, `$` one value,
    `!` a status line. See https://nackjicholson.github.io/aiosql/.
    """
    return aiosql.from_str((files(package) / "queries.sql").read_text(), "asyncpg")


_queries = load_queries("chassis")


def _startup(application: str) -> dict[str, str]:
    """The startup parameters. PgBouncer refuses most others, so session defaults belong to the database role."""
    return {"application_name": f"darkroom-{application}"}


async def _use_msgspec_for_json(connection: asyncpg.Connection) -> None:
    """jsonb goes in as any value msgspec encodes, and comes out as bytes for a typed decoder."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda value: bytes(value[1:]),
        format="binary",
    )


async def _reset_nothing(connection: asyncpg.Connection) -> None:
    """We leave no session state behind, and asyncpg's default reset would cost a round trip for each use."""
