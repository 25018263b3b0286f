"""The statements of the desk."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api import JobError
from darkroom_contracts.api.dead_letters import Act, DeadLetter, DeliveryState, FailedAttempt, FailedDelivery
from darkroom_contracts.states import (
    AttemptOutcome,
    DeliveryOutcome,
    DeliveryStatus,
    EndpointStatus,
    JobStatus,
    LetterKind,
    LetterStatus,
)
from operations.desk.records import Criteria, Discarded, JobState, LetterState, Span, Window

queries = load_queries("operations.desk")

_decode_error = msgspec.json.Decoder(JobError).decode
_decode_versions = msgspec.json.Decoder(dict[str, str]).decode


async def find_tenant(connection: Connection, name: str) -> UUID | None:
    """Return the id of a tenant, or None if it does not exist."""
    found: UUID | None = await queries.find_tenant(connection, name=name)
    return found


async def find_groups(connection: Connection, criteria: Criteria, at_most: int) -> list[UUID]:
    """Return groups whose letters can match, no more than `at_most`."""
    rows = queries.find_groups(
        connection,
        kind=criteria.kind,
        model=criteria.model,
        reason=criteria.reason,
        fingerprint=criteria.fingerprint,
        text=criteria.text,
        at_most=at_most,
    )
    return await _ids(rows)


async def walk_kinds(
    connection: Connection, kinds: Sequence[LetterKind], window: Window, at_most: int, *, only_open: bool
) -> list[UUID]:
    """Return the newest ids of some kinds."""
    walk = queries.walk_open_kinds if only_open else queries.walk_kinds
    return await _ids(walk(connection, kinds=list(kinds), **window._asdict(), at_most=at_most))


async def walk_groups(
    connection: Connection, groups: Sequence[UUID], window: Window, at_most: int, *, only_open: bool
) -> list[UUID]:
    """Return the newest ids of some groups."""
    walk = queries.walk_open_groups if only_open else queries.walk_groups
    return await _ids(walk(connection, groups=groups, **window._asdict(), at_most=at_most))


async def walk_tenant(connection: Connection, tenant_id: UUID, window: Window, at_most: int) -> list[UUID]:
    """Return the newest ids of a tenant."""
    return await _ids(queries.walk_tenant(connection, tenant_id=tenant_id, **window._asdict(), at_most=at_most))


async def walk_worker(connection: Connection, worker: str, window: Window, at_most: int) -> list[UUID]:
    """Return the newest ids of letters whose last attempt was a worker's."""
    return await _ids(queries.walk_worker(connection, worker=worker, **window._asdict(), at_most=at_most))


async def walk_job(connection: Connection, job_id: UUID, window: Window, at_most: int) -> list[UUID]:
    """Return the newest ids of a job, those of its webhooks included."""
    return await _ids(queries.walk_job(connection, job_id=job_id, **window._asdict(), at_most=at_most))


async def walk_named(connection: Connection, named: UUID, window: Window, at_most: int) -> list[UUID]:
    """Return the newest ids of the letters that an id names: their own, their job's, delivery's or group's."""
    of_group = await walk_groups(connection, [named], window, at_most, only_open=False)
    others = await _ids(queries.find_named(connection, id=named))
    wanted = {*of_group, *(each for each in others if window.since <= each < window.before)}
    return sorted(wanted, reverse=True)[:at_most]


async def scope_kinds(connection: Connection, kinds: Sequence[LetterKind], span: Span, at_most: int) -> list[UUID]:
    """Return the oldest ids of open letters of some kinds."""
    return await _ids(queries.scope_kinds(connection, kinds=list(kinds), **span._asdict(), at_most=at_most))


async def scope_group(connection: Connection, group_id: UUID, span: Span, at_most: int) -> list[UUID]:
    """Return the oldest ids of open letters of a group."""
    return await _ids(queries.scope_group(connection, group_id=group_id, **span._asdict(), at_most=at_most))


async def scope_worker(connection: Connection, worker: str, span: Span, at_most: int) -> list[UUID]:
    """Return the oldest ids of letters whose last attempt was a worker's."""
    return await _ids(queries.scope_worker(connection, worker=worker, **span._asdict(), at_most=at_most))


async def scope_tenant(connection: Connection, tenant_id: UUID, span: Span, at_most: int) -> list[UUID]:
    """Return the oldest ids of a tenant."""
    return await _ids(queries.scope_tenant(connection, tenant_id=tenant_id, **span._asdict(), at_most=at_most))


async def scope_named(connection: Connection, named: UUID, span: Span, at_most: int) -> list[UUID]:
    """Return the oldest ids of the letters that an id names: their own, their job's, delivery's or group's."""
    of_group = await scope_group(connection, named, span, at_most)
    others = await _ids(queries.find_named(connection, id=named))
    return sorted({*of_group, *(each for each in others if span.after < each < span.before)})[:at_most]


async def read_letters(
    connection: Connection, ids: Sequence[UUID], criteria: Criteria, status: str | None, at_most: int
) -> list[DeadLetter]:
    """Return those of the letters that match, the newest first."""
    rows = queries.read_letters(connection, ids=ids, status=status, **criteria._asdict(), at_most=at_most)
    return [_letter(row) async for row in rows]


async def list_attempts(connection: Connection, job_id: UUID, at_most: int) -> list[FailedAttempt]:
    """Return the latest attempts of a job, the latest last."""
    rows = [row async for row in queries.list_attempts(connection, job_id=job_id, at_most=at_most)]
    return [_attempt(row) for row in reversed(rows)]


async def find_job(connection: Connection, job_id: UUID) -> JobState | None:
    """Return a job's state."""
    return _job(await queries.find_job(connection, id=job_id))


async def find_delivery(connection: Connection, delivery_id: UUID, at_most: int) -> DeliveryState | None:
    """Return a webhook delivery with its latest attempts."""
    row = await queries.find_delivery(connection, id=delivery_id)
    if row is None:
        return None
    latest = [each async for each in queries.list_delivery_attempts(connection, id=delivery_id, at_most=at_most)]
    decoded = {
        "status": DeliveryStatus(row["status"]),
        "endpoint_status": EndpointStatus(row["endpoint_status"]) if row["endpoint_status"] else None,
        "endpoint_deleted": bool(row["endpoint_deleted"]),
    }
    return DeliveryState(**{**row, **decoded}, attempts=[_delivery_attempt(each) for each in reversed(latest)])


async def list_acts(connection: Connection, letter_id: UUID, at_most: int) -> list[Act]:
    """Return the latest acts on a letter, those of bulk replays included, the latest last."""
    rows = [row async for row in queries.list_acts(connection, id=letter_id, at_most=at_most)]
    return [Act(**row) for row in reversed(rows)]


async def find_hidden(connection: Connection, letter_id: UUID, at_most: int) -> Mapping[str, Any] | None:
    """Return the hidden parts of a letter, with the first `at_most` bytes of its message."""
    row: Row | None = await queries.find_hidden(connection, id=letter_id, at_most=at_most)
    return row


async def hidden_attempts(connection: Connection, job_id: UUID, at_most: int) -> list[Mapping[str, Any]]:
    """Return the hidden parts of the latest attempts of a job, the latest last."""
    rows = [row async for row in queries.hidden_attempts(connection, job_id=job_id, at_most=at_most)]
    return rows[::-1]


async def hidden_responses(connection: Connection, delivery_id: UUID, at_most: int) -> list[Mapping[str, Any]]:
    """Return the receiver's latest answers, the latest last."""
    rows = [row async for row in queries.hidden_responses(connection, delivery_id=delivery_id, at_most=at_most)]
    return rows[::-1]


async def delivery_url(connection: Connection, delivery_id: UUID) -> str | None:
    """Return where a delivery was last sent."""
    url: str | None = await queries.delivery_url(connection, id=delivery_id)
    return url


async def find_letter(connection: Connection, letter_id: UUID) -> LetterState | None:
    """Return what an act on a letter depends on."""
    row = await queries.find_letter(connection, id=letter_id)
    decoded = row and {"kind": LetterKind(row["kind"]), "status": LetterStatus(row["status"])}
    return LetterState(**{**row, **decoded}) if decoded else None


async def discard(connection: Connection, letter_id: UUID) -> bool:
    """Discard a letter. Return False unless it is open."""
    return await queries.discard(connection, id=letter_id) is not None


async def restore(connection: Connection, letter_id: UUID) -> bool:
    """Open a discarded letter. Return False unless it is discarded, and its delivery has no other open letter."""
    return await queries.restore(connection, id=letter_id) is not None


async def lock_job(connection: Connection, job_id: UUID) -> JobState | None:
    """Lock a job and return its state."""
    return _job(await queries.lock_job(connection, id=job_id))


async def lock_delivery(connection: Connection, delivery_id: UUID) -> DeliveryStatus | None:
    """Lock a delivery and return its status, or None if it does not exist."""
    status = await queries.lock_delivery(connection, id=delivery_id)
    return None if status is None else DeliveryStatus(status)


async def is_purged(connection: Connection, job_id: UUID) -> bool:
    """Return whether a job id is older than the jobs that are kept."""
    return bool(await queries.is_purged(connection, id=job_id))


async def discard_scope(
    connection: Connection, criteria: Criteria, window: Window, ids: Sequence[UUID] | None, count: int, at_most: int
) -> Discarded:
    """Discard letters of a scope, the oldest first, if it has `count`."""
    row = await queries.discard_scope(
        connection, ids=ids, **criteria._asdict(), **window._asdict(), count=count, at_most=at_most
    )
    return Discarded(**row)


async def _ids(rows: AsyncIterator[Row]) -> list[UUID]:
    return [row["id"] async for row in rows]


def _letter(row: Row) -> DeadLetter:
    decoded = {
        "kind": LetterKind(row["kind"]),
        "status": LetterStatus(row["status"]),
        "error": _decode_error(row["error"]),
    }
    return DeadLetter(**{**row, **decoded})


def _job(row: Row | None) -> JobState | None:
    return JobState(**{**row, "status": JobStatus(row["status"])}) if row else None


def _attempt(row: Row) -> FailedAttempt:
    decoded = {
        "outcome": AttemptOutcome(row["outcome"]) if row["outcome"] else None,
        "error": _decode_error(row["error"]) if row["error"] else None,
        "versions": _decode_versions(row["versions"]) if row["versions"] else None,
    }
    return FailedAttempt(**{**row, **decoded})


def _delivery_attempt(row: Row) -> FailedDelivery:
    return FailedDelivery(**{**row, "outcome": DeliveryOutcome(row["outcome"]) if row["outcome"] else None})
