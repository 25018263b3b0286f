"""The gateway's side of the database. All of its SQL stands in queries.sql."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database, load_queries
from contracts.api import CancelReply, JobInput
from contracts.states import TERMINAL, JobStatus
from gateway.submission import Acceptance, DeletedJob, RecordedJob, Submission, TenantKey

queries = load_queries("gateway")
_decode_input = msgspec.json.Decoder(JobInput).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


class NoSuchJobError(Exception):
    """The tenant has no such job."""


class GoneError(Exception):
    """The job was deleted, or removed for its age."""


class Waiting(msgspec.Struct, frozen=True):
    """How many jobs of a tenant wait for a model."""

    model: str
    tenant_id: UUID
    jobs: int


class OutboxMessage(msgspec.Struct, frozen=True):
    """A message to publish."""

    id: int
    job_id: UUID
    generation: int
    model: str
    lane: str | None
    traceparent: str
    waited: float
    """Seconds since it could have been published."""


class JobStore:
    """Recording, finding and canceling jobs. All methods raise what `Database.connection` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, submissions: Sequence[Submission]) -> dict[UUID, Acceptance]:
        """Record a batch in one transaction and one round trip. Those whose idempotency key is taken are left out."""
        async with self._database.connection() as connection:
            rows = queries.insert_jobs(connection, submissions=submissions)
            return {row["id"]: Acceptance(*row) async for row in rows}

    async def find_by_keys(self, keys: Sequence[TenantKey]) -> dict[TenantKey, RecordedJob | DeletedJob]:
        """The jobs that idempotency keys stand for."""
        async with self._database.connection() as connection:
            rows = queries.find_by_keys(
                connection, tenants=[tenant for tenant, _ in keys], keys=[key for _, key in keys]
            )
            return {(row["tenant_id"], row["key"]): _recorded(row) async for row in rows}

    async def find(self, job_id: UUID, tenant_id: UUID) -> RecordedJob:
        """Return the tenant's job of that id. Raises NoSuchJobError and GoneError."""
        async with self._database.connection() as connection:
            row = await queries.find_job(connection, id=job_id, tenant=tenant_id)
            job = None if row is None else _recorded(row)
            if job is None or isinstance(job, DeletedJob):
                raise await _absence(connection, job_id, deleted=job is not None)
        return job

    async def cancel(self, job_id: UUID, tenant_id: UUID) -> CancelReply:
        """Cancel a queued job, ask the holder of a running one to stop, leave a finished one.

        Raises NoSuchJobError and GoneError.
        """
        async with self._database.transaction() as connection:
            job = await _lock(connection, job_id, tenant_id)
            match job["status"]:
                case JobStatus.QUEUED:
                    await queries.cancel_queued(connection, id=job_id, generation=job["generation"])
                    return CancelReply(job_id, JobStatus.CANCELED)
                case JobStatus.RUNNING:
                    requested_at = await queries.request_cancel(connection, id=job_id)
                    return CancelReply(job_id, JobStatus.RUNNING, requested_at)
                case status:
                    return CancelReply(job_id, JobStatus(status), job["cancel_requested_at"])

    async def delete(self, job_id: UUID, tenant_id: UUID) -> JobStatus | None:
        """Delete a job that has ended; the status of one that has not, which is left alone.

        Raises NoSuchJobError and GoneError.
        """
        async with self._database.transaction() as connection:
            job = await _lock(connection, job_id, tenant_id)
            if job["status"] not in TERMINAL:
                return JobStatus(job["status"])
            await queries.delete_job(connection, id=job_id)
        return None

    async def count_waiting(self, models: Sequence[str], at_most: int) -> list[Waiting]:
        """Waiting jobs by model and tenant, `at_most` counted for each model."""
        async with self._database.index_walk() as connection:
            return [Waiting(*row) async for row in queries.count_waiting(connection, models=models, at_most=at_most)]


class OutboxStore:
    """The outbox, within a transaction of the caller's that holds the rows it took."""

    async def take(self, connection: Connection, at_most: int) -> list[OutboxMessage]:
        """Lock the messages that are due, oldest first, passing over those that another relay holds.

        The transaction will not wait for the disk when it commits.
        """
        await queries.relax_durability(connection)
        return [OutboxMessage(*row) async for row in queries.take_messages(connection, at_most=at_most)]

    async def delete(self, connection: Connection, ids: Sequence[int]) -> None:
        """Forget messages that the broker confirmed."""
        if ids:
            await queries.delete_messages(connection, ids=ids)

    async def postpone(self, connection: Connection, ids: Sequence[int]) -> None:
        """Put off messages that the broker refused or returned, longer each time."""
        if ids:
            await queries.postpone_messages(connection, ids=ids)

    async def recheck(self, connection: Connection, ids: Sequence[int]) -> None:
        """Put off, briefly, messages that may or may not have arrived."""
        if ids:
            await queries.recheck_messages(connection, ids=ids)


async def _lock(connection: Connection, job_id: UUID, tenant_id: UUID) -> Any:
    job = await queries.lock_job(connection, id=job_id, tenant=tenant_id)
    if job is None or job["deleted"]:
        raise await _absence(connection, job_id, deleted=job is not None)
    return job


async def _absence(connection: Connection, job_id: UUID, *, deleted: bool) -> NoSuchJobError | GoneError:
    """Return why a job can't be found. Ids older than what retention removed tell nobody whose they were."""
    return GoneError() if deleted or await queries.is_purged(connection, id=job_id) else NoSuchJobError()


def _recorded(row: Any) -> RecordedJob | DeletedJob:
    if row["deleted"]:
        return DeletedJob()
    submission = Submission(
        id=row["id"],
        tenant_id=row["tenant_id"],
        key_id=row["key_id"],
        user_id=row["user_id"],
        model=row["model"],
        input=_decode_input(row["input"]),
        metadata=_decode_metadata(row["metadata"]),
        webhook_url=row["webhook_url"],
        webhook_events=tuple(row["webhook_events"]),
        ttl_seconds=row["ttl_seconds"],
        deadline_seconds=row["deadline_seconds"],
        cost=row["cost"],
        traceparent=row["traceparent"],
        retried_from=row["retried_from"],
        idempotency_key=row["key"],
        body_hash=row["body_hash"],
    )
    acceptance = Acceptance(row["id"], row["created_at"], row["max_attempts"])
    return RecordedJob(submission, acceptance, JobStatus(row["status"]))
