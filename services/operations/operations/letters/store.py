"""The table `dead_letters`, as the ingest writes it and as operators read it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api import JobError
from darkroom_contracts.messages import v2
from darkroom_contracts.states import AttemptOutcome, DeliveryOutcome, DeliveryStatus, EndpointStatus, JobStatus
from operations.letters.records import (
    AttemptRecord,
    Delivery,
    DeliveryAttempt,
    Letter,
    LetterKind,
    LetterStatus,
    LetterSummary,
    NamedJob,
    Orphan,
    Undecodable,
)

queries = load_queries("operations.letters")

MOST_ATTEMPTS = 200
"""Attempts of a delivery that are shown; each may hold 16 KiB of a receiver's answer."""


async def fail_undeliverable(
    connection: Connection, message: v2.Render, error: JobError, body: bytes, headers: Any
) -> bool:
    """Fail a job whose message reached the delivery limit.

    Return False unless it is queued in that generation, and the tenant and the database in the message are its own.
    """
    return bool(
        await queries.fail_undeliverable(
            connection,
            job_id=message.job_id,
            generation=message.generation,
            tenant_id=message.tenant_id,
            instance_id=message.instance_id,
            error=error,
            body=body,
            headers=headers,
        )
    )


async def attach_x_deaths(connection: Connection, dead: Mapping[int, NamedJob], headers: Sequence[Any]) -> set[int]:
    """Add the broker's records to the letters of jobs that have none. Return the keys of those that have a letter."""
    rows = queries.attach_x_deaths(
        connection,
        numbers=list(dead),
        job_ids=[job.job_id for job in dead.values()],
        generations=[job.generation for job in dead.values()],
        tenant_ids=[job.tenant_id for job in dead.values()],
        headers=headers,
    )
    return {row["number"] async for row in rows}


async def tenants_of(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Return the tenants of those jobs that are known, or whose letters are."""
    return {row["job_id"]: row["tenant_id"] async for row in queries.tenants_of(connection, job_ids=job_ids)}


async def insert_orphans(connection: Connection, error: JobError, orphans: Sequence[Orphan]) -> set[tuple[UUID, int]]:
    """Record orphans. Return the job and generation of those whose job is unknown and not purged, and that are new."""
    rows = queries.insert_orphans(
        connection,
        error=error,
        job_ids=[orphan.job_id for orphan in orphans],
        tenant_ids=[orphan.tenant_id for orphan in orphans],
        generations=[orphan.generation for orphan in orphans],
        models=[orphan.model for orphan in orphans],
        bodies=[orphan.body for orphan in orphans],
        headers=[orphan.headers for orphan in orphans],
    )
    return {(row["job_id"], row["generation"]) async for row in rows}


async def insert_undecodable(connection: Connection, messages: Sequence[Undecodable]) -> set[bytes]:
    """Record messages that lead to no job. Return the SHA-256 of the bodies that are new."""
    rows = queries.insert_undecodable(
        connection,
        errors=[message.error for message in messages],
        bodies=[message.body for message in messages],
        headers=[message.headers for message in messages],
    )
    return {row["body_sha256"] async for row in rows}


async def list_letters(
    connection: Connection, kinds: Collection[LetterKind], status: LetterStatus | None, at_most: int
) -> list[LetterSummary]:
    """Return the newest dead letters of some kinds, those of every status if `status` is None."""
    rows = queries.list_letters(connection, kinds=list(kinds), status=status, at_most=at_most)
    return [_summary(row) async for row in rows]


async def find_letter(connection: Connection, letter_id: UUID) -> Letter | None:
    """Return a dead letter with every attempt of its job, or with its delivery, or None if it does not exist."""
    row = await queries.find_letter(connection, id=letter_id)
    if row is None:
        return None
    if row["kind"] == LetterKind.WEBHOOK:
        return _letter(row, [], await _find_delivery(connection, row["delivery_id"]))
    attempts = [_attempt(each) async for each in queries.list_attempts(connection, job_id=row["job_id"])]
    return _letter(row, attempts, None)


async def _find_delivery(connection: Connection, delivery_id: UUID) -> Delivery | None:
    row = await queries.find_delivery(connection, id=delivery_id)
    if row is None:
        return None
    latest = queries.list_delivery_attempts(connection, id=delivery_id, at_most=MOST_ATTEMPTS)
    attempts = [_delivery_attempt(each) async for each in latest]
    endpoint_status = EndpointStatus(row["endpoint_status"]) if row["endpoint_status"] else None
    decoded = {"status": DeliveryStatus(row["status"]), "endpoint_status": endpoint_status}
    return Delivery(**{**row, **decoded}, attempts=attempts[::-1])


def _summary(row: Row) -> LetterSummary:
    return LetterSummary(**{**row, "kind": LetterKind(row["kind"]), "status": LetterStatus(row["status"])})


def _letter(row: Row, attempts: list[AttemptRecord], delivery: Delivery | None) -> Letter:
    decoded = {
        "kind": LetterKind(row["kind"]),
        "status": LetterStatus(row["status"]),
        "job_status": JobStatus(row["job_status"]) if row["job_status"] else None,
        **{column: _json(row[column]) for column in ("error", "headers", "x_death")},
    }
    return Letter(**{**row, **decoded}, body_text=_text(row["body"]), attempts=attempts, delivery=delivery)


def _attempt(row: Row) -> AttemptRecord:
    outcome = AttemptOutcome(row["outcome"]) if row["outcome"] else None
    return AttemptRecord(**{**row, "outcome": outcome, "error": _json(row["error"])})


def _delivery_attempt(row: Row) -> DeliveryAttempt:
    outcome = DeliveryOutcome(row["outcome"]) if row["outcome"] else None
    return DeliveryAttempt(**{**row, "outcome": outcome})


def _json(column: bytes | None) -> msgspec.Raw | None:
    return None if column is None else msgspec.Raw(column)


def _text(body: bytes | None) -> str | None:
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
