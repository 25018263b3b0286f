"""Looking a job up for its tenant."""

from datetime import UTC, datetime
from uuid import UUID

from contracts.api import Job
from status.live import LiveProgress
from status.outlook import Queues
from status.reads import JobReads
from status.signing import SignedUrls
from status.store import UndecodableRow
from status.view import job_view


class UndecodableJobError(Exception):
    """A job's row holds what this version can't read."""

    def __init__(self, row: UndecodableRow) -> None:
        super().__init__(f"Column {row.column} of job {row.id} can't be decoded.")


class Jobs:
    def __init__(self, reads: JobReads, queues: Queues, live: LiveProgress, urls: SignedUrls) -> None:
        self._reads = reads
        self._queues = queues
        self._live = live
        self._urls = urls

    async def find(self, tenant_id: UUID, job_id: UUID) -> Job | None:
        """None for another tenant's job as for one that never was.

        Raises UndecodableJobError, and what `JobReads.find` does.
        """
        row = await self._reads.find(job_id)
        if row is None or row.tenant_id != tenant_id:
            return None
        if isinstance(row, UndecodableRow):
            raise UndecodableJobError(row)
        outlook = await self._queues.outlook(row, datetime.now(UTC))
        return job_view(row, outlook, self._live.of(row.id, row.generation, row.attempt), self._urls)
