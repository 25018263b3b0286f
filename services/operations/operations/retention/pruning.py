"""The loops that remove rows by age, and the base classes of retention's loops."""

import asyncio
import time
from abc import abstractmethod
from datetime import timedelta
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database
from operations.metrics import SWEPT
from operations.retention import store
from operations.retention.records import FIRST_ID, AttemptPosition, Batch

log = structlog.get_logger()

BATCH = 500
PASS_SECONDS = 3600.0
"""Between two passes. A pass visits every row that is kept once."""


class Retention(Loop):
    """A loop that removes a bounded batch in a round and rests between two batches as long as the first took."""

    batch: ClassVar[int] = BATCH

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__()
        self._database = database
        self._age = age

    @abstractmethod
    async def remove(self) -> Batch:
        """Visit at most `batch` rows and remove those that may go."""

    async def run_once(self) -> bool:
        began = time.monotonic()
        done = await self.remove()
        SWEPT.labels(self.name).inc(done.removed)
        if done.removed:
            log.info("old rows removed", sweep=self.name, rows=done.removed)
        if done.visited < self.batch:
            return False
        await asyncio.sleep(time.monotonic() - began)
        return True


class Pruning(Retention):
    """A loop that removes rows by their age alone, so that it visits no row twice."""

    interval = 60.0

    @abstractmethod
    async def prune(self, connection: Connection) -> int:
        """Remove at most `batch` rows. Return how many."""

    async def remove(self) -> Batch:
        async with self._database.connection() as connection:
            removed = await self.prune(connection)
        return Batch(removed, removed)


class PruneKeys(Pruning):
    """Remove Idempotency-Keys."""

    name = "prune-keys"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_idempotency_keys(connection, self.batch, self._age)


class PruneAlerts(Pruning):
    """Remove resolved alerts."""

    name = "prune-alerts"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_alerts(connection, self.batch, self._age)


class PruneLetters(Pruning):
    """Remove resolved dead letters."""

    name = "prune-letters"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_letters(connection, self.batch, self._age)


class PruneEndpoints(Pruning):
    """Remove deleted endpoints of webhooks once their deliveries are gone."""

    name = "prune-endpoints"
    interval = PASS_SECONDS

    async def prune(self, connection: Connection) -> int:
        return await store.prune_endpoints(connection, self.batch, self._age)


class ExpirePictures(Pruning):
    """Remove pictures from the records of their jobs; the sweep of objects removes the files."""

    name = "expire-pictures"

    async def prune(self, connection: Connection) -> int:
        return await store.expire_pictures(connection, self.batch, self._age)


class PruneAttempts(Retention):
    """Remove attempts, and then the worker sessions that no attempt refers to."""

    name = "prune-attempts"
    interval = PASS_SECONDS

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__(database, age)
        self._position = AttemptPosition()

    async def remove(self) -> Batch:
        async with self._database.connection() as connection:
            done, self._position = await store.prune_attempts(connection, self._position, self.batch, self._age)
            if done.visited < self.batch:
                self._position = AttemptPosition()
                await store.prune_sessions(connection, self.batch, self._age)
        return done


class PruneDeliveries(Retention):
    """Remove webhook deliveries that ended, with their attempts, unless a dead letter may send them again."""

    name = "prune-deliveries"
    interval = PASS_SECONDS

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__(database, age)
        self._position = FIRST_ID

    async def remove(self) -> Batch:
        async with self._database.connection() as connection:
            done, self._position = await store.prune_deliveries(connection, self._position, self.batch, self._age)
        if done.visited < self.batch:
            self._position = FIRST_ID
        return done
