"""Removes objects that no job lists: of deleted and purged jobs, of pictures past their age, of lost attempts.

No lock is held while S3 is asked. A sweep is claimed by moving its time by HOLD; its work ends well within that, so
that a replay, which looks at the claim, never renders a picture just before it is removed.
"""

import asyncio
import time
from datetime import timedelta

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from chassis.storage import Storage
from darkroom_contracts.objects import job_prefix
from operations.metrics import SWEPT
from operations.records import SWEEP_HOLD
from operations.retention import store
from operations.retention.store import ObjectSweep

log = structlog.get_logger()

BATCH = 8
"""As many as the client of S3 has connections for."""
LISTING_SECONDS = 60.0
"""Objects that took longer to list are left for another time: removing them could outlast the claim."""
LOOK_AGAIN = timedelta(minutes=15)
"""Between two looks at a deleted job's prefix: a frozen worker may upload late."""


class SweepObjects(Loop):
    """Looks through the objects of the jobs whose time has come."""

    name = "sweep-objects"
    interval = 5.0

    def __init__(self, database: Database, storage: Storage) -> None:
        super().__init__()
        self._database = database
        self._storage = storage

    async def run_once(self) -> bool:
        """Raises StorageUnavailableError while S3 is away; what was claimed is due again after HOLD."""
        began = time.monotonic()
        async with self._database.connection() as connection:
            sweeps = await store.claim_sweeps(connection, BATCH, SWEEP_HOLD)
        results = await asyncio.gather(*(self._sweep(sweep, began) for sweep in sweeps), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return len(sweeps) == BATCH

    async def _sweep(self, sweep: ObjectSweep, began: float) -> None:
        """A job that was queued again meanwhile asks for a new sweep when it ends."""
        removed = 0
        if sweep.gone or sweep.ended:
            removed = await self._remove_unlisted(sweep, began)
        async with self._database.connection() as connection:
            if sweep.gone and (removed or not sweep.stayed_empty):
                await store.sweep_again(connection, sweep, LOOK_AGAIN, found=removed > 0)
            else:
                await store.end_sweep(connection, sweep)

    async def _remove_unlisted(self, sweep: ObjectSweep, began: float) -> int:
        """Remove what the job's record does not list; how many objects that were."""
        found = await self._storage.keys(job_prefix(sweep.job_id))
        if time.monotonic() - began > LISTING_SECONDS:
            raise TimeoutError(f"listing the objects of job {sweep.job_id} took too long")
        unlisted = [key for key in found if key not in sweep.keep]
        if unlisted:
            await self._storage.remove(unlisted)
            log.info("objects removed", job_id=str(sweep.job_id), objects=len(unlisted))
            SWEPT.labels(self.name).inc(len(unlisted))
        return len(unlisted)
