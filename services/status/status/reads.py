"""Concurrent reads of jobs share a query."""

from uuid import UUID

from chassis.coalesce import MOST_TOGETHER, Coalescer
from status.store import DeletedRow, JobRow, Store, UndecodableRow

__all__ = ["MOST_TOGETHER", "JobReads"]


class JobReads:
    """One query at a time; whoever asks while it runs goes with the next."""

    def __init__(self, store: Store) -> None:
        self._look_ups: Coalescer[UUID, JobRow | DeletedRow | UndecodableRow] = Coalescer(store.find_jobs)

    async def find(self, job_id: UUID) -> JobRow | DeletedRow | UndecodableRow | None:
        """The job as it stands after this call. Raises what `Coalescer.find` does."""
        return await self._look_ups.find(job_id)
