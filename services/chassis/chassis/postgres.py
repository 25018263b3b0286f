"""The Postgres pool and named queries. asyncpg's errors are translated here, at one boundary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, TypeAlias

import aiosql
import asyncpg
import msgspec

from chassis.settings import DatabaseSettings

Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy
COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
)
_BAD_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_CLASHES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class DatabaseUnavailableError(Exception):
    """Postgres can't be reached or is shutting down; whether the last statement took effect is unknown."""


class TransactionClashError(Exception):
    """Two transactions got in each other's way (deadlock, serialisation); running it again is safe."""


class BadDataError(Exception):
    """Postgres refused a value or a row, and with it the whole statement."""


class Database:
    """A lazily connected pool: building it connects to nothing."""

    def __init__(self, settings: DatabaseSettings, application: str) -> None:
        self._pool = asyncpg.create_pool(
            settings.database_url,
            min_size=0,
            max_size=settings.database_connections,
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
        """A connection in autocommit mode. Raises DatabaseUnavailableError, TransactionClashError, BadDataError."""
        async with translated_errors(), self._pool.acquire(timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction. Raises as `connection` does."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def check(self) -> None:
        """Raises DatabaseUnavailableError unless Postgres answers."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")


async def connect_alone(settings: DatabaseSettings, application: str) -> asyncpg.Connection:
    """Open a connection outside the pool, for session locks and LISTEN, past any connection pooler.

    The role's keepalives let the server notice a client that fell silent and free its locks. Use the connection under
    `translated_errors`. Raises DatabaseUnavailableError.
    """
    async with translated_errors():
        return await asyncpg.connect(
            settings.direct_url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings=_startup(application),
        )


@asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Turn asyncpg's errors into this module's."""
    try:
        yield
    except _BAD_DATA as error:
        raise BadDataError(str(error)) from error
    except _CLASHES as error:
        raise TransactionClashError(str(error)) from error
    except _AWAY as error:
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error


def load_queries(package: str) -> Any:
    """The named queries of `queries.sql` in a package, as methods that take a connection and named parameters.

    Each name is followed by its parameters, `-- name: find_key(id)^`, and they must be those that the query uses.
    The suffix tells what it returns: none all rows, `^` one row or None, `$` one value,
    `!` a status line. See https://nackjicholson.github.io/aiosql/.
    """
    return aiosql.from_str((files(package) / "queries.sql").read_text(), "asyncpg")


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
