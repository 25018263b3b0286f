"""What removes rows: by their age alone, or in passes where some of the old ones are to be kept."""

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
from operations.retention.store import FIRST_ID, AttemptPlace, Batch, first_id_at

log = structlog.get_logger()

BATCH = 500
PASS_SECONDS = 3600.0
"""Between two passes: what is kept is looked at once in each."""


class Retention(Loop):
    """Removes a bounded batch a round. Between two batches it rests as long as the first took."""

    batch: ClassVar[int] = BATCH

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__()
        self._database = database
        self._age = age

    @abstractmethod
    async def remove(self) -> Batch:
        """Look at no more than `batch` rows, and remove those that may go."""

    async def run_once(self) -> bool:
        began = time.monotonic()
        done = await self.remove()
        SWEPT.labels(self.name).inc(done.removed)
        if done.removed:
            log.info("removed for their age", sweep=self.name, rows=done.removed)
        if done.walked < self.batch:
            return False
        await asyncio.sleep(time.monotonic() - began)
        return True


class Aging(Retention):
    """Removes rows by their age alone: what is old enough goes, so nothing is looked at twice."""

    interval = 60.0

    @abstractmethod
    async def prune(self, connection: Connection) -> int:
        """Remove no more than `batch` rows, and return how many."""

    async def remove(self) -> Batch:
        async with self._database.connection() as connection:
            removed = await self.prune(connection)
        return Batch(removed, removed)


class PruneKeys(Aging):
    """Forgets Idempotency-Keys."""

    name = "prune-keys"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_idempotency_keys(connection, self.batch, self._age)


class PruneLetters(Aging):
    """Removes dead letters that were resolved."""

    name = "prune-letters"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_letters(connection, self.batch, self._age)


class PruneDeliveries(Aging):
    """Removes webhook deliveries of which nothing more will be sent."""

    name = "prune-deliveries"

    async def prune(self, connection: Connection) -> int:
        return await store.prune_deliveries(connection, self.batch, self._age)


class ExpirePictures(Aging):
    """Takes the pictures off jobs' records; the sweep of objects removes the files."""

    name = "expire-pictures"

    async def prune(self, connection: Connection) -> int:
        return await store.expire_pictures(connection, self.batch, self._age)


class PruneAttempts(Retention):
    """Removes attempts and then the worker sessions that none names any more."""

    name = "prune-attempts"
    interval = PASS_SECONDS

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__(database, age)
        self._place = AttemptPlace()

    async def remove(self) -> Batch:
        async with self._database.connection() as connection:
            done, self._place = await store.prune_attempts(connection, self._place, self.batch, self._age)
            if done.walked < self.batch:
                self._place = AttemptPlace()
                await store.prune_sessions(connection, self.batch, self._age)
        return done


class PurgeJobs(Retention):
    """Removes jobs that ended long ago and that nothing holds, with all that belongs to them.

    A pass begins by moving the line before which unknown ids are those of purged jobs, and commits that: from then on
    a late message of such a job brings nothing back, and whoever asks for it is answered 410.
    """

    name = "purge-jobs"
    interval = PASS_SECONDS

    def __init__(self, database: Database, age: timedelta) -> None:
        super().__init__(database, age)
        self._place = self._end = FIRST_ID

    async def remove(self) -> Batch:
        if self._place == FIRST_ID:
            async with self._database.transaction() as connection:
                self._end = first_id_at(await store.advance_purge(connection, self._age))
        async with self._database.connection() as connection:
            done, self._place = await store.purge_jobs(connection, self._place, self._end, self.batch, self._age)
        if done.walked < self.batch:
            self._place = FIRST_ID
        return done
