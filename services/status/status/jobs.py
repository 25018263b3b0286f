"""Reading one job, and one of its pictures."""

from datetime import UTC, datetime
from uuid import UUID

from chassis.jobs.absence import JobGoneError, NoSuchJobError, NoSuchPictureError, PictureGoneError
from chassis.jobs.row import DeletedRow, UndecodableRow
from chassis.jobs.view import job_view
from darkroom_contracts.api import Job
from status.live import LiveProgress
from status.outlook import Queues
from status.reads import JobReads
from status.signing import SignedUrls
from status.store import PlacedJob, Store


class UndecodableJobError(Exception):
    """A job's row holds values that this version cannot decode."""

    def __init__(self, row: UndecodableRow) -> None:
        super().__init__(f"Column {row.column} of job {row.id} can't be decoded.")


class Jobs:
    """The jobs of all tenants, from the database, the live events and the queues."""

    def __init__(
        self, reads: JobReads, store: Store, queues: Queues, live: LiveProgress, urls: SignedUrls, origin: str
    ) -> None:
        """`origin` makes the links of pictures absolute; they are paths where it is empty."""
        self._reads = reads
        self._store = store
        self._queues = queues
        self._live = live
        self._urls = urls
        self._origin = origin

    async def find(self, tenant_id: UUID, job_id: UUID) -> Job:
        """Return the tenant's job. Another tenant's job is treated as one that does not exist.

        Raises NoSuchJobError, JobGoneError, UndecodableJobError, and what `JobReads.find` raises.
        """
        row = await self._row(tenant_id, job_id)
        return job_view(
            row,
            outlook=await self._queues.outlook(row, datetime.now(UTC)),
            live=self._live.of(row.id, row.generation, row.attempt),
            signed=[self._urls.path(stored.key) for stored in row.outputs],
            origin=self._origin,
        )

    async def picture(self, tenant_id: UUID, job_id: UUID, index: str) -> str:
        """Return path and presigned query of a picture of the tenant's job.

        Raises NoSuchPictureError, PictureGoneError, and what `find` raises.
        """
        row = await self._row(tenant_id, job_id)
        if row.outputs_removed_at:
            raise PictureGoneError
        for stored in row.outputs:
            if str(stored.index) == index:
                return self._urls.path(stored.key).path
        raise NoSuchPictureError

    async def _row(self, tenant_id: UUID, job_id: UUID) -> PlacedJob:
        row = await self._reads.find(job_id)
        if row is None or row.tenant_id != tenant_id:
            # An id of that age does not reveal whose it was.
            raise JobGoneError if row is None and await self._store.is_purged(job_id) else NoSuchJobError
        if isinstance(row, DeletedRow):
            raise JobGoneError
        if isinstance(row, UndecodableRow):
            raise UndecodableJobError(row)
        return row
