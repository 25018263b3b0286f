"""The sweep of objects that no job lists: of deleted and purged jobs, of expired pictures, of lost attempts.

No lock is held while S3 is asked. A sweep is claimed by moving its time by HOLD, and its work ends well within HOLD. A
replay checks that claim, so that a sweep never removes a picture that was rendered after the replay.
"""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import structlog

from chassis.errors import StorageUnavailableError
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from chassis.storage import Storage
from darkroom_contracts.objects import job_prefix
from operations.metrics import SWEPT
from operations.retention import store
from operations.retention.records import ObjectSweep

log = structlog.get_logger()

BATCH = 8
"""As many as the S3 client has connections."""
HOLD = timedelta(minutes=5)
"""The longest time that a claimed sweep may take."""
LISTING_SECONDS = 60.0
"""The longest time to list objects. After a slower listing nothing is removed, since that could outlast the claim."""
LOOK_AGAIN = timedelta(minutes=15)
"""Between two sweeps of a deleted job's prefix: a frozen worker may upload late."""


class SweepObjects(Loop):
    """Sweep the objects of the jobs that are due."""

    name = "sweep-objects"
    interval = 5.0

    def __init__(self, database: Database, storage: Storage) -> None:
        super().__init__()
        self._database = database
        self._storage = storage

    async def run_once(self) -> bool:
        """Sweep at most BATCH jobs. Those that fail are due again after HOLD.

        Raises the first of their errors, after the others have ended: StorageUnavailableError, UndecodableColumnError.
        """
        began = time.monotonic()
        async with self._database.index_walk() as connection:
            sweeps = await store.claim_sweeps(connection, BATCH, HOLD)
        results = await asyncio.gather(*(self._sweep(sweep, began) for sweep in sweeps), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(sweeps) == BATCH

    async def _sweep(self, sweep: ObjectSweep, began: float) -> None:
        """Sweep a job's objects. A job that was queued again is left alone: its next end schedules a new sweep."""
        removed = 0
        if sweep.gone or sweep.ended:
            removed = await self._remove_unlisted(sweep, began)
        async with self._database.index_walk() as connection:
            if sweep.gone and (removed or not sweep.stayed_empty):
                await store.sweep_again(connection, sweep, LOOK_AGAIN, found=removed > 0)
            else:
                await store.end_sweep(connection, sweep)

    async def _remove_unlisted(self, sweep: ObjectSweep, began: float) -> int:
        """Remove the objects that the job's record does not list. Return how many there were.

        Raises UndecodableColumnError, with nothing removed, if this version can't read the record.
        """
        keep = store.listed_keys(sweep)
        found = await self._storage.keys(job_prefix(sweep.job_id))
        if time.monotonic() - began > LISTING_SECONDS:
            raise StorageUnavailableError(
                f"The listing of the objects of job {sweep.job_id} took longer than {LISTING_SECONDS:g} s."
            )
        unlisted = [key for key in found if key not in keep]
        if unlisted:
            await self._storage.remove(unlisted)
            log.info("objects removed", job_id=str(sweep.job_id), objects=len(unlisted))
            SWEPT.labels(self.name).inc(len(unlisted))
        return len(unlisted)


async def cancel_sweep(connection: Connection, job_id: UUID) -> bool:
    """Cancel a job's scheduled sweep, in the caller's transaction. Return True while a sweep of it is under way."""
    return await store.cancel_sweep(connection, job_id, HOLD)
