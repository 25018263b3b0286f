"""The sweeps: what time alone brings about. Each takes a bounded batch a round; processes may sweep side by side."""

import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database, DatabaseUnavailableError
from darkroom_contracts.api import JobError
from darkroom_contracts.errors import JobErrorCode
from operations import store
from operations.metrics import SWEPT

log = structlog.get_logger()

BATCH = 100

_WAITED_TOO_LONG = JobError(
    JobErrorCode.EXPIRED, "The job's turn did not come within its ttl_seconds.", retryable=True, stage="queue"
)


class Sweep(Loop):
    """Acts on the rows that are due, at most `batch` a round."""

    batch: ClassVar[int] = BATCH

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @abstractmethod
    async def sweep(self, connection: Connection) -> int:
        """Act on at most `batch` rows, and return on how many."""

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            swept = await self.sweep(connection)
        SWEPT.labels(self.name).inc(swept)
        if swept:
            log.info("swept", sweep=self.name, rows=swept)
        return swept == self.batch


class PatientSweep(Sweep):
    """A sweep that judges workers by what they wrote, and so gives them time to write.

    While Postgres is away no worker can extend its lease or report. So at its start, and after each time Postgres was
    away, the sweep lets one full lease pass before it acts.
    """

    def __init__(self, database: Database, lease_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(database)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._server_started: datetime | None = None
        self._in_touch_since: float | None = None

    async def run_once(self) -> bool:
        try:
            async with self._database.connection() as connection:
                self._keep_in_touch(await store.server_started(connection))
            return self._leases_had_their_time() and await super().run_once()
        except DatabaseUnavailableError:
            self._in_touch_since = None
            raise

    def _keep_in_touch(self, server_started: datetime) -> None:
        """A server that was restarted between two rounds was away, too."""
        if self._in_touch_since is None or server_started != self._server_started:
            self._in_touch_since = self._clock()
        self._server_started = server_started

    def _leases_had_their_time(self) -> bool:
        return self._in_touch_since is not None and self._clock() - self._in_touch_since >= self._lease_seconds


class Rescue(PatientSweep):
    """Takes jobs from workers whose lease ran out."""

    name = "rescue"
    interval = 2.0

    async def sweep(self, connection: Connection) -> int:
        return await store.reap_jobs(connection, self.batch)


class Expire(Sweep):
    """Ends the jobs that waited longer than they were to, or past their deadline."""

    name = "expire"
    interval = 2.0

    async def sweep(self, connection: Connection) -> int:
        return await store.expire_jobs(connection, self.batch, _WAITED_TOO_LONG)


class Republish(PatientSweep):
    """Publishes jobs again whose message is shown to be lost."""

    name = "republish"
    interval = 10.0
    batch = 2000
    """Larger than the others': after a broker lost its data all that waits is to be published again."""

    async def sweep(self, connection: Connection) -> int:
        return await store.republish_lost_jobs(connection, self.batch)


class EndSessions(PatientSweep):
    """Ends the sessions of workers that fell silent."""

    name = "end-sessions"
    interval = 30.0

    async def sweep(self, connection: Connection) -> int:
        return await store.end_silent_sessions(connection, self.batch)
