"""Concurrent reads of jobs share a query."""

from uuid import UUID

from chassis.coalesce import MOST_TOGETHER, Coalescer
from status.store import FoundJob, Store

__all__ = ["MOST_TOGETHER", "JobReads"]


class JobReads:
    """One query at a time; reads that arrive while it runs share the next one."""

    def __init__(self, store: Store) -> None:
        self._look_ups: Coalescer[UUID, FoundJob] = Coalescer(store.find_jobs)

    async def find(self, job_id: UUID) -> FoundJob | None:
        """Return the job as it is after this call began. Raises what `Coalescer.find` raises."""
        return await self._look_ups.find(job_id)
