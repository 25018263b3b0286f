"""Looking a job up for its tenant."""

from datetime import UTC, datetime
from uuid import UUID

from darkroom_contracts.api import Job
from status.live import LiveProgress
from status.outlook import Queues
from status.reads import JobReads
from status.signing import SignedUrls
from status.store import DeletedRow, Store, UndecodableRow
from status.view import job_view


class UndecodableJobError(Exception):
    """A job's row holds what this version can't read."""

    def __init__(self, row: UndecodableRow) -> None:
        super().__init__(f"Column {row.column} of job {row.id} can't be decoded.")


class NoSuchJobError(Exception):
    """The tenant has no such job."""


class GoneError(Exception):
    """The job was deleted, or removed for its age."""


class Jobs:
    def __init__(self, reads: JobReads, store: Store, queues: Queues, live: LiveProgress, urls: SignedUrls) -> None:
        self._reads = reads
        self._store = store
        self._queues = queues
        self._live = live
        self._urls = urls

    async def find(self, tenant_id: UUID, job_id: UUID) -> Job:
        """Return the tenant's job; another tenant's is treated as one that never was.

        Raises NoSuchJobError, GoneError, UndecodableJobError, and what `JobReads.find` does.
        """
        row = await self._reads.find(job_id)
        if row is None or row.tenant_id != tenant_id:
            # An id that old tells nobody whose it was.
            raise GoneError if row is None and await self._store.is_purged(job_id) else NoSuchJobError
        if isinstance(row, DeletedRow):
            raise GoneError
        if isinstance(row, UndecodableRow):
            raise UndecodableJobError(row)
        outlook = await self._queues.outlook(row, datetime.now(UTC))
        return job_view(row, outlook, self._live.of(row.id, row.generation, row.attempt), self._urls)
