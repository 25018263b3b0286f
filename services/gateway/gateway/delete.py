"""Deleting a job."""

from uuid import UUID

from chassis.auth import Caller
from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError
from gateway.store import JobStore


class DeleteJob:
    """The use case of `delete_job`."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def __call__(self, caller: Caller, job_id: UUID) -> None:
        """Delete a finished job and everything its tenant wrote into it; a tombstone remains. Raises ProblemError."""
        unfinished = await self._store.delete(job_id, caller.tenant_id)
        if unfinished is not None:
            detail = f"The job is {unfinished}. First cancel it, then delete it once it has ended."
            raise ProblemError(ApiError.JOB_NOT_FINISHED, detail)
