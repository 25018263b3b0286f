"""The gateway's tables: jobs, idempotency keys and the outbox. The SQL is in queries.sql."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import structlog

from chassis.jobs.absence import JobGoneError, NoSuchJobError
from chassis.jobs.row import UndecodableColumnError, UndecodableRow, decode_columns
from chassis.postgres import Connection, Database, load_queries
from darkroom_contracts.api import CancelReply
from darkroom_contracts.messages.v2 import Render
from darkroom_contracts.states import TERMINAL, JobStatus
from gateway.messages import UnreadableJobError, render_message
from gateway.submission import Acceptance, DeletedJob, EarlierJob, RecordedJob, Submission, TenantKey

log = structlog.get_logger()

LARGEST_SHARE = 128
"""Most messages in flight to a destination. Fewer than 200: see `gateway.publishers`."""
LARGEST_TAKE = 512
"""Most messages of a batch, unless it has more destinations."""

queries = load_queries("gateway")


class LockedJob(msgspec.Struct, frozen=True):
    """A job whose row is locked."""

    status: JobStatus
    generation: int
    cancel_requested_at: datetime | None


class Waiting(msgspec.Struct, frozen=True):
    """The number of a tenant's jobs that wait for a model."""

    model: str
    tenant_id: UUID
    jobs: int


class NoMessage(StrEnum):
    """Why a row of the outbox has no message."""

    OBSOLETE = "obsolete"
    """Its job needs none."""
    UNREADABLE = "unreadable"
    """The row of its job cannot be decoded."""


class OutboxMessage(msgspec.Struct, frozen=True):
    """A row of the outbox with its message."""

    id: int
    created_at: datetime
    job_id: UUID
    generation: int
    model: str
    lane: str | None
    destination: str
    """The queue that must confirm it: the model's own, or a retry lane."""
    share: int
    """Most messages of its destination in this batch."""
    waited: float
    """Seconds from when it was due until it was taken."""
    born: float
    """When it was created, by this process's monotonic clock."""
    content: Render | NoMessage

    def age(self) -> float:
        """Return the seconds since its creation."""
        return time.monotonic() - self.born


class JobStore:
    """Jobs and idempotency keys. All methods raise what `Database.connection` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, submissions: Sequence[Submission]) -> dict[UUID, Acceptance]:
        """Record a batch in one transaction and one round trip. Return those whose idempotency key was free."""
        async with self._database.connection() as connection:
            rows = queries.insert_jobs(connection, submissions=submissions)
            return {row["id"]: Acceptance(*row) async for row in rows}

    async def find_by_keys(self, keys: Sequence[TenantKey]) -> dict[TenantKey, EarlierJob]:
        """Return the jobs that were accepted under the keys, each decoded by itself."""
        async with self._database.connection() as connection:
            rows = queries.find_by_keys(
                connection, tenants=[tenant for tenant, _ in keys], keys=[key for _, key in keys]
            )
            return {(row["tenant_id"], row["key"]): _earlier(row) async for row in rows}

    async def find(self, job_id: UUID, tenant_id: UUID) -> RecordedJob:
        """Return the tenant's job. Raises NoSuchJobError and JobGoneError."""
        async with self._database.connection() as connection:
            row = await queries.find_job(connection, id=job_id, tenant=tenant_id)
            job = None if row is None else _recorded(row)
            if job is None or isinstance(job, DeletedJob):
                raise await _absence(connection, job_id, deleted=job is not None)
        return job

    async def cancel(self, job_id: UUID, tenant_id: UUID) -> CancelReply:
        """Cancel a queued job, request the end of a running one, and leave a finished one unchanged.

        Raises NoSuchJobError and JobGoneError.
        """
        async with self._database.transaction() as connection:
            job = await _lock(connection, job_id, tenant_id)
            match job.status:
                case JobStatus.QUEUED:
                    await queries.cancel_queued(connection, id=job_id, generation=job.generation)
                    return CancelReply(job_id, JobStatus.CANCELED)
                case JobStatus.RUNNING:
                    requested_at = await queries.request_cancel(connection, id=job_id)
                    return CancelReply(job_id, JobStatus.RUNNING, requested_at)
                case status:
                    return CancelReply(job_id, status, job.cancel_requested_at)

    async def delete(self, job_id: UUID, tenant_id: UUID) -> JobStatus | None:
        """Delete a job that has ended. Return the status of any other job, which stays unchanged.

        Raises NoSuchJobError and JobGoneError.
        """
        async with self._database.transaction() as connection:
            job = await _lock(connection, job_id, tenant_id)
            if job.status not in TERMINAL:
                return job.status
            await queries.delete_job(connection, id=job_id)
        return None

    async def count_waiting(self, models: Sequence[str], at_most: int) -> list[Waiting]:
        """Return the waiting jobs by model and tenant, of which `at_most` are counted for each model."""
        async with self._database.index_walk() as connection:
            return [Waiting(*row) async for row in queries.count_waiting(connection, models=models, at_most=at_most)]


class OutboxStore:
    """The outbox, within the caller's transaction, which locks the rows that were taken."""

    def __init__(self, revisions: Mapping[str, str | None] | None = None) -> None:
        """Use the catalogue's `revisions` of the models."""
        self._revisions = revisions or {}

    async def take(
        self, connection: Connection, skipped: Sequence[str] = (), probed: Sequence[str] = ()
    ) -> list[OutboxMessage]:
        """Lock the messages that are due, fairly by destination, except those that another relay has locked.

        A `skipped` destination gives none, a `probed` one a single message. The transaction will not wait for the disk
        when it commits.
        """
        await queries.relax_durability(connection)
        rows = queries.take_messages(connection, each=LARGEST_SHARE, all=LARGEST_TAKE, skipped=skipped, probed=probed)
        return [self._message(row) async for row in rows]

    async def delete(self, connection: Connection, messages: Sequence[OutboxMessage]) -> None:
        """Delete messages that this transaction has locked."""
        if messages:
            await queries.delete_messages(connection, ids=[message.id for message in messages])

    async def delete_unchanged(self, connection: Connection, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
        """Delete messages that were taken earlier and return them, except those that were renewed or are locked."""
        ids, created = [message.id for message in messages], [message.created_at for message in messages]
        deleted = {row["id"] async for row in queries.delete_unchanged_messages(connection, ids=ids, created=created)}
        return [message for message in messages if message.id in deleted]

    async def postpone(self, connection: Connection, messages: Sequence[OutboxMessage], seconds: float) -> None:
        """Postpone messages by `seconds`, doubled for each failure."""
        if messages:
            ids = [message.id for message in messages]
            await queries.postpone_messages(connection, ids=ids, seconds=seconds)

    async def renew_announcements(self, connection: Connection, messages: Sequence[OutboxMessage]) -> None:
        """Record that the messages have only now reached their queues."""
        if messages:
            await queries.renew_announcements(
                connection,
                jobs=[message.job_id for message in messages],
                generations=[message.generation for message in messages],
                created=[message.created_at for message in messages],
            )

    def _message(self, row: Any) -> OutboxMessage:
        return OutboxMessage(
            id=row["id"],
            created_at=row["created_at"],
            job_id=row["job_id"],
            generation=row["generation"],
            model=row["model"],
            lane=row["lane"],
            destination=row["destination"],
            share=row["share"],
            waited=row["waited"],
            born=time.monotonic() - row["age"],
            content=self._content(row),
        )

    def _content(self, row: Any) -> Render | NoMessage:
        if row["tenant_id"] is None:
            return NoMessage.OBSOLETE
        try:
            return render_message(row, self._revisions.get(row["model"]))
        except UnreadableJobError as error:
            log.warning("message can't be built", job_id=str(row["job_id"]), error=str(error))
            return NoMessage.UNREADABLE


async def _lock(connection: Connection, job_id: UUID, tenant_id: UUID) -> LockedJob:
    row = await queries.lock_job(connection, id=job_id, tenant=tenant_id)
    if row is None or row["deleted"]:
        raise await _absence(connection, job_id, deleted=row is not None)
    return LockedJob(**decode_columns(row, LockedJob.__struct_fields__))


async def _absence(connection: Connection, job_id: UUID, *, deleted: bool) -> NoSuchJobError | JobGoneError:
    """Return why a job cannot be found. Ids that retention may have removed do not reveal whose they were."""
    return JobGoneError() if deleted or await queries.is_purged(connection, id=job_id) else NoSuchJobError()


def _earlier(row: Any) -> EarlierJob:
    try:
        return _recorded(row)
    except UndecodableColumnError as error:
        return UndecodableRow(row["id"], row["tenant_id"], error.column)


def _recorded(row: Any) -> RecordedJob | DeletedJob:
    if row["deleted"]:
        return DeletedJob()
    submission = Submission(**decode_columns(row, _SUBMITTED), idempotency_key=row["key"])
    acceptance = Acceptance(row["id"], row["created_at"], row["max_attempts"])
    return RecordedJob(submission, acceptance, **decode_columns(row, ["status"]))


_SUBMITTED = [field for field in Submission.__struct_fields__ if field != "idempotency_key"]
