"""The base classes of the sweeps."""

import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import ClassVar

import structlog

from chassis.errors import DatabaseUnavailableError
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from operations.metrics import SWEPT
from operations.sweeps import store

log = structlog.get_logger()

BATCH = 100


class Sweep(Loop):
    """A loop that acts on the rows that are due, at most `batch` in a round."""

    batch: ClassVar[int] = BATCH

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @abstractmethod
    async def sweep(self, connection: Connection) -> int:
        """Act on at most `batch` rows. Return on how many."""

    async def run_once(self) -> bool:
        async with self._connect() as connection:
            swept = await self.sweep(connection)
        SWEPT.labels(self.name).inc(swept)
        if swept:
            log.info("rows swept", sweep=self.name, rows=swept)
        return swept == self.batch

    def _connect(self) -> AbstractAsyncContextManager[Connection]:
        return self._database.index_walk()


class PatientSweep(Sweep):
    """A sweep that judges workers by what they wrote, and therefore gives them time to write.

    While Postgres is away no worker can extend its lease or send a heartbeat. So after its start, and after every time
    that Postgres was away, the sweep waits for one full lease before it acts.
    """

    def __init__(self, database: Database, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._server_started: datetime | None = None
        self._connected_since: float | None = None

    async def run_once(self) -> bool:
        try:
            async with self._database.connection() as connection:
                self._note_contact(await store.server_started(connection))
            return self._waited_a_lease() and await super().run_once()
        except DatabaseUnavailableError:
            self._connected_since = None
            raise

    def _note_contact(self, server_started: datetime) -> None:
        """Start the wait again if the server restarted since the last round: it was away in between."""
        if self._connected_since is None or server_started != self._server_started:
            self._connected_since = self._clock()
        self._server_started = server_started

    def _waited_a_lease(self) -> bool:
        return self._connected_since is not None and self._clock() - self._connected_since >= self._lease_seconds
