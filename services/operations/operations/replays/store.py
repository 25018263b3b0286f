"""The steps of a replay, which share a transaction.

The job or the delivery is locked before its letters, as by every other writer.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.jobs.row import decode_columns
from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.states import DeliveryStatus, EndpointStatus, JobStatus, LetterKind, LetterStatus
from operations.replays.records import (
    Candidate,
    EditableJob,
    EditedJob,
    JobLetter,
    LockedDelivery,
    LockedJob,
    NewestOrphan,
    OrphanLetter,
    Outlook,
    RevivedJob,
    UndecodableLetter,
    WebhookLetter,
)

queries = load_queries("operations.replays")


async def find_candidate(connection: Connection, letter_id: UUID) -> Candidate | None:
    """Return a dead letter without locking it, or None if it does not exist."""
    row = await queries.find_candidate(connection, id=letter_id)
    return _candidate(row) if row else None


async def lock_job(connection: Connection, job_id: UUID) -> LockedJob | None:
    """Lock a job. Return None if it does not exist."""
    row = await queries.lock_job(connection, id=job_id)
    return _job(row) if row else None


async def lock_letter(connection: Connection, letter_id: UUID) -> LetterStatus | None:
    """Lock a dead letter and return its status, or None if it was removed meanwhile."""
    status = await queries.lock_letter(connection, id=letter_id)
    return LetterStatus(status) if status else None


async def find_editable(connection: Connection, job_id: UUID) -> Row:
    """Return what an edit changes of a job, still encoded."""
    row: Row = await queries.find_editable(connection, id=job_id)
    return row


async def requeue_dead_job(connection: Connection, letter: JobLetter, edited: EditedJob | None) -> int | None:
    """Move the job of an open dead letter to queued, with an outbox row, and the letter to replaying.

    Return the new generation, or None if the job did not fail in the letter's generation or was deleted.
    """
    renewed: int | None = await queries.requeue_dead_job(
        connection,
        job_id=letter.job_id,
        generation=letter.generation,
        letter_id=letter.id,
        overrides=edited and edited.overrides,
        cost=edited and edited.cost,
    )
    return renewed


async def tenant_exists(connection: Connection, tenant_id: UUID) -> bool:
    """Return whether the tenant exists."""
    return await queries.find_tenant(connection, id=tenant_id) is not None


async def newest_orphan(connection: Connection, job_id: UUID) -> NewestOrphan | None:
    """Return the orphan letter of the job's latest generation, or None if the job has no orphan letter."""
    row = await queries.newest_orphan(connection, job_id=job_id)
    return NewestOrphan(**row) if row else None


async def revive_job(connection: Connection, job: RevivedJob) -> bool:
    """Make a job again, with an outbox row. Return False if it exists or was purged."""
    made = await queries.revive_job(connection, job=job)
    if made is not None:
        await queries.enqueue_message(connection, job_id=job.id)
    return made is not None


async def restore_key(connection: Connection, job: RevivedJob) -> UUID:
    """Make the job's Idempotency-Key refer to it unless it refers to another job. Return the job it refers to."""
    job_id: UUID = await queries.restore_key(
        connection, tenant_id=job.tenant_id, key=job.idempotency_key, body_hash=job.body_hash, job_id=job.id
    )
    return job_id


async def mark_orphans_replaying(connection: Connection, job_id: UUID) -> None:
    """Move all open orphan letters of a job to replaying."""
    await queries.mark_orphans_replaying(connection, job_id=job_id)


async def lock_delivery(connection: Connection, delivery_id: UUID) -> LockedDelivery | None:
    """Lock a webhook delivery. Return None if it does not exist."""
    row = await queries.lock_delivery(connection, id=delivery_id)
    if row is None:
        return None
    decoded = {"status": DeliveryStatus(row["status"]), "endpoint_status": EndpointStatus(row["endpoint_status"])}
    return LockedDelivery(**{**row, **decoded})


async def redeliver(connection: Connection, delivery_id: UUID) -> bool:
    """Make a delivery due again, and move its open letter to replaying. Return False while an attempt is in flight."""
    return bool(await queries.redeliver(connection, id=delivery_id))


async def look_at_letters(connection: Connection, letter_ids: Sequence[UUID]) -> list[Outlook]:
    """Return the dead letters as a replay would find them, in this order, without those that do not exist."""
    return [_outlook(row) async for row in queries.look_at_letters(connection, ids=letter_ids)]


def decode_editable(row: Mapping[str, Any]) -> EditableJob:
    """Decode what an edit changes of a job. Raises UndecodableColumnError."""
    columns = decode_columns(row, ["model", "input", "edits"])
    return EditableJob(columns["model"], columns["input"], columns["edits"])


def _outlook(row: Row) -> Outlook:
    job: LockedJob | None = None
    delivery: LockedDelivery | None = None
    letter: JobLetter | WebhookLetter | None = None
    kind = LetterKind(row["kind"])
    if row["status"] is not None:
        job = LockedJob(JobStatus(row["status"]), row["job_generation"], row["deleted"])
    if row["endpoint_status"] is not None:
        delivery = LockedDelivery(
            DeliveryStatus(row["delivery_status"]),
            row["in_flight"],
            EndpointStatus(row["endpoint_status"]),
            row["endpoint_deleted"],
            row["disabled_reason"],
        )
    if kind is LetterKind.JOB:
        letter = JobLetter(row["id"], row["job_id"], row["generation"])
    elif kind is LetterKind.WEBHOOK:
        letter = WebhookLetter(row["id"], row["delivery_id"])
    return Outlook(row["id"], kind, LetterStatus(row["letter_status"]), row["job_id"], letter, job, row, delivery)


def _candidate(row: Row) -> Candidate:
    match LetterKind(row["kind"]):
        case LetterKind.JOB:
            return JobLetter(row["id"], row["job_id"], row["generation"])
        case LetterKind.ORPHAN:
            return OrphanLetter(row["id"], row["job_id"], row["body"])
        case LetterKind.UNDECODABLE:
            return UndecodableLetter(row["id"])
        case LetterKind.WEBHOOK:
            return WebhookLetter(row["id"], row["delivery_id"])


def _job(row: Row) -> LockedJob:
    return LockedJob(**decode_columns(row, LockedJob.__struct_fields__))
