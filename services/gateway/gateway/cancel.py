"""Canceling a job."""

from uuid import UUID

import structlog

from chassis.auth import Caller
from chassis.errors import DatabaseUnavailableError
from chassis.problems import unavailable
from chassis.single_flight import SingleFlight
from darkroom_contracts.api import CancelReply
from gateway.store import JobStore

log = structlog.get_logger()

_IN_DOUBT = "The database did not respond: the cancel may or may not have been recorded. Sending it again is safe."


class CancelJob:
    """The use case of `cancel_job`. Concurrent cancels of a job share one transaction."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._cancels = SingleFlight(self._cancel)

    async def __call__(self, caller: Caller, job_id: UUID) -> CancelReply:
        """Cancel the job, or return its status if it has ended. Raises ProblemError."""
        try:
            return await self._cancels.call((job_id, caller.tenant_id))
        except DatabaseUnavailableError as error:
            if not error.in_doubt:
                raise
            log.warning("cancel in doubt", job_id=str(job_id), error=str(error))
            raise unavailable(_IN_DOUBT) from error

    async def _cancel(self, job: tuple[UUID, UUID]) -> CancelReply:
        return await self._store.cancel(*job)
