"""Connections to Postgres. The errors of every driver call are translated: see database_errors.py."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeAlias, cast

import asyncpg

from chassis.database_errors import translated_errors

Row: TypeAlias = asyncpg.Record


class Connection:
    """A connection in autocommit mode; named queries take it as their first argument.

    Every method raises DatabaseUnavailableError, TransactionClashError, BadDataError.
    """

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver
        self._released = False

    def release(self) -> None:
        """Note that the pool has the connection back: from then on a use is a mistake, not an outage."""
        self._released = True

    async def fetch(self, sql: str, *arguments: Any) -> list[Row]:
        """Run a statement and return its rows."""
        with self._translated():
            return cast(list[Row], await self._driver.fetch(sql, *arguments))

    async def fetchrow(self, sql: str, *arguments: Any) -> Row | None:
        """Run a statement and return its first row, or None without rows."""
        with self._translated():
            return await self._driver.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run a statement and return the first value of its first row, or None without rows."""
        with self._translated():
            return await self._driver.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run a statement, or several without arguments, and return the last status line."""
        with self._translated():
            return str(await self._driver.execute(sql, *arguments))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the context in a transaction: commit at its end, roll back when it raises."""
        transaction = self._driver.transaction()
        with self._translated():
            await transaction.start()
        try:
            yield
        except BaseException:
            with self._translated():
                await transaction.rollback()
            raise
        with self._translated():
            await transaction.commit()

    def _translated(self) -> AbstractContextManager[None]:
        return translated_errors(is_closed=self._is_closed)

    def _is_closed(self) -> bool:
        try:
            return bool(self._driver.is_closed())
        except asyncpg.InterfaceError:  # the pool took it back, because it was released or because it was lost
            return not self._released


class StandingConnection(Connection):
    """A connection outside the pool, which may hold session locks and receive notifications."""

    def __init__(self, driver: asyncpg.Connection) -> None:
        super().__init__(driver)
        self.lost = asyncio.Event()
        """Set when either side closes the connection. A silent loss of the network does not set it."""
        driver.add_termination_listener(lambda _: self.lost.set())

    async def listen(self, channel: str, receive: Callable[[str], None]) -> None:
        """Call `receive` with the payload of each notification on a channel, while the connection lasts."""
        with self._translated():
            await self._driver.add_listener(channel, lambda _driver, _pid, _channel, payload: receive(str(payload)))

    async def close(self) -> None:
        """Close the connection gracefully."""
        with self._translated():
            await self._driver.close()

    def terminate(self) -> None:
        """Drop the connection without waiting for the server."""
        self._driver.terminate()
