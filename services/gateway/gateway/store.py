"""The gateway's side of the database. All of its SQL stands in queries.sql."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database, load_queries
from contracts.api import CancelReply, JobInput
from contracts.states import JobStatus
from gateway.submission import Acceptance, RecordedJob, Submission, TenantKey

queries = load_queries("gateway")
_decode_input = msgspec.json.Decoder(JobInput).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


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

    async def find_by_keys(self, keys: Sequence[TenantKey]) -> dict[TenantKey, RecordedJob]:
        """The jobs that idempotency keys stand for."""
        async with self._database.connection() as connection:
            rows = queries.find_by_keys(
                connection, tenants=[tenant for tenant, _ in keys], keys=[key for _, key in keys]
            )
            return {(row["tenant_id"], row["key"]): _recorded(row) async for row in rows}

    async def find(self, job_id: UUID, tenant_id: UUID) -> RecordedJob | None:
        """The tenant's job of that id."""
        async with self._database.connection() as connection:
            row = await queries.find_job(connection, id=job_id, tenant=tenant_id)
        return None if row is None else _recorded(row)

    async def cancel(self, job_id: UUID, tenant_id: UUID) -> CancelReply | None:
        """Cancel a queued job, ask the holder of a running one to stop, leave a finished one. None: no such job."""
        async with self._database.transaction() as connection:
            job = await queries.lock_job(connection, id=job_id, tenant=tenant_id)
            match job and job["status"]:
                case None:
                    return None
                case JobStatus.QUEUED:
                    await queries.cancel_queued(connection, id=job_id, generation=job["generation"])
                    return CancelReply(job_id, JobStatus.CANCELED)
                case JobStatus.RUNNING:
                    requested_at = await queries.request_cancel(connection, id=job_id)
                    return CancelReply(job_id, JobStatus.RUNNING, requested_at)
                case status:
                    return CancelReply(job_id, JobStatus(status), job["cancel_requested_at"])

    async def count_waiting(self, models: Sequence[str], at_most: int) -> list[Waiting]:
        """Waiting jobs by model and tenant, `at_most` counted for each model."""
        async with self._database.connection() as connection:
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


def _recorded(row: Any) -> RecordedJob:
    submission = Submission(
        id=row["id"],
        tenant_id=row["tenant_id"],
        model=row["model"],
        input=_decode_input(row["input"]),
        metadata=_decode_metadata(row["metadata"]),
        webhook_url=row["webhook_url"],
        webhook_events=tuple(row["webhook_events"]),
        ttl_seconds=row["ttl_seconds"],
        traceparent=row["traceparent"],
        retried_from=row["retried_from"],
        idempotency_key=row["key"],
        body_hash=row["body_hash"],
    )
    acceptance = Acceptance(row["id"], row["created_at"], row["max_attempts"])
    return RecordedJob(submission, acceptance, JobStatus(row["status"]))
