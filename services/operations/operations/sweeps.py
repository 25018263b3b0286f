"""The sweeps: what time alone brings about. Each takes a bounded batch a round; processes may sweep side by side."""

import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database, DatabaseUnavailableError
from contracts.api import JobError
from contracts.errors import JobErrorCode
from operations import store
from operations.metrics import SWEPT

log = structlog.get_logger()

BATCH = 100
LONGEST_REPUBLISH_WAIT = timedelta(hours=6)

_WAITED_TOO_LONG = JobError(
    JobErrorCode.EXPIRED, "The job's turn did not come within its ttl_seconds.", retryable=True, stage="queue"
)


class Sweep(Loop):
    """Acts on the rows that are due, `BATCH` a round."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @abstractmethod
    async def sweep(self, connection: Connection) -> int:
        """Act on at most BATCH rows, and return on how many."""

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            swept = await self.sweep(connection)
        SWEPT.labels(self.name).inc(swept)
        if swept:
            log.info("swept", sweep=self.name, rows=swept)
        return swept == BATCH


class Rescue(Sweep):
    """Takes jobs from workers whose lease ran out.

    While Postgres is away no worker can extend its lease. So at its start, and after each time Postgres was away, the
    rescue lets one full lease pass before it judges any.
    """

    name = "rescue"
    interval = 2.0

    def __init__(self, database: Database, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._in_touch_since: float | None = None

    async def sweep(self, connection: Connection) -> int:
        return await store.reap_jobs(connection, BATCH)

    async def run_once(self) -> bool:
        try:
            await self._database.check()
            return self._leases_had_their_time() and await super().run_once()
        except DatabaseUnavailableError:
            self._in_touch_since = None
            raise

    def _leases_had_their_time(self) -> bool:
        now = self._clock()
        if self._in_touch_since is None:
            self._in_touch_since = now
        return now - self._in_touch_since >= self._lease_seconds


class Expire(Sweep):
    """Ends the jobs that waited longer than they were to."""

    name = "expire"
    interval = 2.0

    async def sweep(self, connection: Connection) -> int:
        return await store.expire_jobs(connection, BATCH, _WAITED_TOO_LONG)


class Republish(Sweep):
    """Publishes jobs again that have waited suspiciously long: their message may be lost with the broker's data."""

    name = "republish"
    interval = 10.0

    async def sweep(self, connection: Connection) -> int:
        return await store.republish_jobs(connection, BATCH, LONGEST_REPUBLISH_WAIT)


class Prune(Sweep):
    """Forgets idempotency keys that are old enough."""

    name = "prune"
    interval = 60.0

    def __init__(self, database: Database, idempotency_age: timedelta) -> None:
        super().__init__(database)
        self._idempotency_age = idempotency_age

    async def sweep(self, connection: Connection) -> int:
        return await store.prune_idempotency_keys(connection, BATCH, self._idempotency_age)
