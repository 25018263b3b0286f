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
"""Time limit for canceling the statement of a released connection; after that the connection is closed."""
WAIT_TIMEOUT_SECONDS = 5.0
"""Time limit for getting a connection while all are in use."""
MOST_WAITING = 1000
"""Most callers that may wait for a connection."""

REFUSALS = Counter("darkroom_database_refusals_total", "Uses refused because the pool was full.", ["application"])


class Database:
    """A connection pool that connects on first use.

    The numbers of connections and of callers that wait for one are bounded. Of two or more connections one is reserved
    for `check`, so that a full pool never looks like an unavailable database.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        application: str,
        *,
        connections: int | None = None,
        keep_one_for_check: bool = True,
    ) -> None:
        """Use `connections` of the process's connections, by default all of them."""
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
        """Return a connection in autocommit mode, for the time of the context.

        Raises DatabaseUnavailableError and DatabaseBusyError.
        """
        await self._take_turn()
        try:
            async with self._pooled_connection() as connection:
                yield connection
        finally:
            self._free.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Return a connection with an open transaction, which ends with the context. Raises as `connection` does."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def index_walk(self) -> AsyncIterator[Connection]:
        """Return a connection with a transaction whose queries use indexes, whatever the planner's statistics are.

        For counts with a limit, and for tables that are mostly empty when their statistics are collected. Statements
        are planned once a connection, for all arguments; so the table may be empty at that moment, and each must name
        its rows by an index. Raises as `connection` does.
        """
        async with self.transaction() as connection:
            await _queries.walk_indexes(connection)
            yield connection

    async def check(self) -> None:
        """Raise DatabaseUnavailableError unless Postgres answers."""
        async with self._checks, self._pooled_connection() as connection:
            await connection.execute("SELECT 1")

    async def _take_turn(self) -> None:
        """Wait for a free connection. Raises DatabaseBusyError."""
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
        """Take a connection from the pool. One is free for each turn, so a timeout means that Postgres is away."""
        with translated_errors(in_doubt=False):
            driver = await self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS)
        connection = Connection(driver)
        try:
            yield connection
        finally:
            connection.release()
            with translated_errors():
                await self._pool.release(driver, timeout=RELEASE_TIMEOUT_SECONDS)


async def connect_alone(settings: DatabaseSettings, application: str) -> StandingConnection:
    """Open a connection outside the pool, for session locks and LISTEN, past any connection pooler.

    TCP keepalives, set for the database role, let the server detect a lost client and free its locks.
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
    """Return the named queries of a package's `queries.sql`, as methods that take a connection and named parameters.

    A name is followed by its parameters, `-- name: find_job(id)^`, which must be those that the query uses. Its suffix
    selects the result: none for all rows, `^` for one row or None, `$` for one value, `!` for a status line.
    See https://nackjicholson.github.io/aiosql/.
    """
    return aiosql.from_str((files(package) / "queries.sql").read_text(), "asyncpg")


_queries = load_queries("chassis")


def _startup(application: str) -> dict[str, str]:
    """Return the startup parameters. PgBouncer refuses most others, so the database role has the session defaults."""
    return {"application_name": f"darkroom-{application}"}


async def _use_msgspec_for_json(connection: asyncpg.Connection) -> None:
    """Encode jsonb parameters with msgspec, and return jsonb columns as bytes for a typed decoder."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda value: bytes(value[1:]),
        format="binary",
    )


async def _reset_nothing(connection: asyncpg.Connection) -> None:
    """Skip asyncpg's reset, which would cost a round trip per use: no session state is left behind."""
