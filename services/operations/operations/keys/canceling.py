"""Cancel the unfinished jobs of revoked keys, where the revocation asks for it."""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from chassis.loops import Loop
from chassis.postgres import Connection, Database
from operations.keys import store
from operations.keys.records import START, Position
from operations.metrics import SWEPT

log = structlog.get_logger()

BATCH = 1000
"""Queued jobs of all keys that a round looks at."""
SETTLED_SECONDS = 60.0
"""Seconds after a revocation in which the key's last submissions may still commit: those that an authentication that
was cached had let in, and whose bodies were still arriving."""


class Walk(NamedTuple):
    """A walk through the queue."""

    keys: list[str]
    began_at: datetime
    found: int
    """Jobs of the keys so far."""
    position: Position = START


class CancelJobs(Loop):
    """Walks the queue in rounds, and cancels the jobs of marked keys.

    A mark is removed by a whole walk that began once the revocation was settled and found none of the keys' jobs. So
    the work goes on after a crash, and a job that was locked, or returned to the queue behind the walk, is not missed.
    Running jobs are asked to stop at the start of a walk; one that is claimed later is found by the next.
    """

    name = "cancel-jobs-of-keys"
    interval = 2.0

    def __init__(self, database: Database, settled_seconds: float = SETTLED_SECONDS) -> None:
        super().__init__()
        self._database = database
        self._settled = timedelta(seconds=settled_seconds)
        self._walk: Walk | None = None

    async def run_once(self) -> bool:
        async with self._database.index_walk() as connection:
            walk = self._walk or await _begin(connection)
            following = walk and await self._advance(connection, walk)
        self._walk = following  # once the round has committed
        return following is not None

    async def _advance(self, connection: Connection, walk: Walk) -> Walk | None:
        """Take a step. Return None at the end of the walk."""
        step = await store.cancel_waiting(connection, walk.keys, walk.position, BATCH)
        found = walk.found + step.found
        SWEPT.labels(self.name).inc(step.canceled)
        if step.canceled:
            log.info("jobs of revoked keys canceled", keys=walk.keys, jobs=step.canceled)
        if step.last is not None:
            return walk._replace(found=found, position=step.last)
        if not found:
            await store.end_canceling(connection, walk.keys, walk.began_at, self._settled)
        return None


async def _begin(connection: Connection) -> Walk | None:
    """Ask running jobs to stop, and return a new walk; None if no key's jobs are to be canceled."""
    keys, at = await store.find_canceling(connection)
    if at is None:
        return None
    return Walk(keys, at, await store.request_cancels(connection, keys))
