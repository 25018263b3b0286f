"""What operations reads and writes. The only module that touches this package's queries.sql."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from chassis.keys import ApiKey
from chassis.postgres import Connection, load_queries
from darkroom_contracts.api import JobError
from operations.records import (
    SWEEP_HOLD,
    AppliedMigration,
    AttemptRecord,
    KeyRecord,
    Letter,
    LetterSummary,
    LockedJob,
    NewestOrphan,
    Orphan,
    ReplayCandidate,
    RevivedJob,
)

T = TypeVar("T", bound=msgspec.Struct)

_queries = load_queries("operations")


async def set_lock_timeout(connection: Connection, seconds: float) -> None:
    """Bound each wait for a lock from now on, in this session; 0 bounds none."""
    await _queries.set_lock_timeout(connection, timeout=f"{seconds * 1000:.0f}ms")


async def try_lock_migrations(connection: Connection) -> bool:
    """Make this session the only one that migrates, until it is closed. False while another one is."""
    return bool(await _queries.try_lock_migrations(connection))


async def create_schema_migrations(connection: Connection) -> None:
    await _queries.create_schema_migrations(connection)


async def invalid_indexes(connection: Connection, migration: str) -> list[tuple[str, str]]:
    """Invalid indexes that a migration's text names, each with the statement that drops it."""
    return [(row["name"], row["drop"]) async for row in _queries.invalid_indexes(connection, migration=migration)]


async def oldest_transaction(connection: Connection, besides: int = 0) -> str:
    """A sentence on the oldest transaction of other sessions than this one and the process `besides`."""
    row = await _queries.oldest_transaction(connection, besides=besides)
    if row is None:
        return "No other transaction is open."
    who = f"{row['application'] or 'a session'} (pid {row['pid']}, role {row['role']})"
    return f"The oldest open transaction is that of {who}, {row['age']:.0f} s old."


async def set_session_defaults(connection: Connection, roles: Sequence[str]) -> None:
    """Give this session's role, and those named, their defaults in this database; later sessions have them."""
    for row in [row async for row in _queries.session_defaults(connection, roles=list(roles))]:
        await connection.execute(row["statement"])


async def applied_migrations(connection: Connection) -> list[AppliedMigration]:
    return [_record(row, AppliedMigration) async for row in _queries.applied_migrations(connection)]


async def record_migration(connection: Connection, applied: AppliedMigration) -> None:
    await _queries.record_migration(connection, **msgspec.structs.asdict(applied))


async def ensure_tenant(connection: Connection, name: str) -> UUID:
    tenant_id: UUID = await _queries.ensure_tenant(connection, name=name)
    return tenant_id


async def insert_key(
    connection: Connection, key: ApiKey, tenant_id: UUID, name: str, lifetime: timedelta | None
) -> tuple[datetime, datetime | None]:
    """Returns when the key was created and when it expires, by the database's clock."""
    row = await _queries.insert_key(
        connection,
        id=key.id,
        tenant_id=tenant_id,
        scope=key.scope,
        name=name,
        secret_hash=key.secret_hash,
        lifetime=lifetime,
    )
    return row["created_at"], row["expires_at"]


async def list_keys(connection: Connection) -> list[KeyRecord]:
    return [_record(row, KeyRecord) async for row in _queries.list_keys(connection)]


async def revoke_key(connection: Connection, key_id: str) -> KeyRecord | None:
    """None where there is no such key."""
    row = await _queries.revoke_key(connection, id=key_id)
    return _record(row, KeyRecord) if row else None


async def reap_jobs(connection: Connection, at_most: int) -> int:
    """Return the jobs whose lease ran out; how many there were."""
    return int(await _queries.reap_jobs(connection, at_most=at_most))


async def expire_jobs(connection: Connection, at_most: int, error: JobError) -> int:
    """Expire the jobs that waited too long; how many there were."""
    return int(await _queries.expire_jobs(connection, at_most=at_most, error=error))


async def republish_lost_jobs(connection: Connection, at_most: int) -> int:
    """Queue messages for jobs whose own is shown to be lost; how many there were."""
    return int(await _queries.republish_lost_jobs(connection, at_most=at_most))


async def end_silent_sessions(connection: Connection, at_most: int) -> int:
    """End the sessions of workers that fell silent; how many there were."""
    return int(await _queries.end_silent_sessions(connection, at_most=at_most))


async def server_started(connection: Connection) -> datetime:
    """Return when the database server came up."""
    started: datetime = await _queries.server_started(connection)
    return started


async def fail_undeliverable(
    connection: Connection, job_id: UUID, generation: int, error: JobError, body: bytes, headers: Any
) -> bool:
    """queued -> failed. False unless the job is queued in that generation."""
    return bool(
        await _queries.fail_undeliverable(
            connection, job_id=job_id, generation=generation, error=error, body=body, headers=headers
        )
    )


async def attach_x_death(connection: Connection, job_id: UUID, generation: int, x_death: Any) -> bool:
    """Complete a job's dead letter; what it has already stays. False where there is none."""
    found = await _queries.attach_x_death(connection, job_id=job_id, generation=generation, x_death=x_death)
    return found is not None


async def insert_undecodable(connection: Connection, error: JobError, body: bytes, headers: Any, x_death: Any) -> bool:
    """False where the same bytes are recorded already."""
    made = await _queries.insert_undecodable(connection, error=error, body=body, headers=headers, x_death=x_death)
    return made is not None


async def is_unknown(connection: Connection, job_id: UUID) -> bool:
    """Whether there is no such job although retention did not remove it."""
    return bool(await _queries.is_unknown(connection, job_id=job_id))


async def hold_purge(connection: Connection) -> None:
    """Keep retention from moving its line past any job, until the transaction ends."""
    await _queries.hold_purge(connection)


async def insert_orphan(connection: Connection, orphan: Orphan) -> bool:
    """False where its job is known after all, or was purged, or the same orphan is recorded already."""
    made = await _queries.insert_orphan(connection, **msgspec.structs.asdict(orphan))
    return made is not None


async def list_letters(connection: Connection, status: str | None, at_most: int) -> list[LetterSummary]:
    """The newest dead letters first; of any status where `status` is None."""
    rows = _queries.list_letters(connection, status=status, at_most=at_most)
    return [_record(row, LetterSummary) async for row in rows]


async def find_letter(connection: Connection, letter_id: UUID) -> Letter | None:
    """A dead letter with every attempt of its job."""
    row = await _queries.find_letter(connection, id=letter_id)
    if row is None:
        return None
    attempts = [
        AttemptRecord(**{**row, "error": _raw(row["error"])})
        async for row in _queries.list_attempts(connection, job_id=row["job_id"])
    ]
    jsons = {column: _raw(row[column]) for column in ("error", "headers", "x_death")}
    return Letter(**{**row, **jsons}, body_text=_text(row["body"]), attempts=attempts)


async def find_candidate(connection: Connection, letter_id: UUID) -> ReplayCandidate | None:
    row = await _queries.find_candidate(connection, id=letter_id)
    return _record(row, ReplayCandidate) if row else None


async def lock_job(connection: Connection, job_id: UUID) -> LockedJob | None:
    row = await _queries.lock_job(connection, id=job_id)
    return _record(row, LockedJob) if row else None


async def lock_letter(connection: Connection, letter_id: UUID) -> str | None:
    """Its status, or None where it went meanwhile."""
    status: str | None = await _queries.lock_letter(connection, id=letter_id)
    return status


async def forget_sweep(connection: Connection, job_id: UUID) -> bool:
    """Forget that the job's objects were to be swept. True while a sweep of them is under way."""
    return bool(await _queries.forget_sweep(connection, job_id=job_id, hold=SWEEP_HOLD))


async def requeue_dead_job(connection: Connection, job_id: UUID, generation: int) -> int | None:
    """failed -> queued, with a message in the outbox. The new generation, or None unless it failed in the given one."""
    renewed: int | None = await _queries.requeue_dead_job(connection, job_id=job_id, generation=generation)
    if renewed is not None:
        await _queries.enqueue_message(connection, job_id=job_id)
    return renewed


async def mark_replaying(connection: Connection, letter_id: UUID) -> None:
    await _queries.mark_replaying(connection, id=letter_id)


async def tenant_exists(connection: Connection, tenant_id: UUID) -> bool:
    return await _queries.find_tenant(connection, id=tenant_id) is not None


async def newest_orphan(connection: Connection, job_id: UUID) -> NewestOrphan | None:
    row = await _queries.newest_orphan(connection, job_id=job_id)
    return _record(row, NewestOrphan) if row else None


async def revive_job(connection: Connection, job: RevivedJob) -> bool:
    """Make a job again from its message, with one in the outbox. False where it is there, or was purged."""
    made = await _queries.revive_job(connection, job=job)
    if made is not None:
        await _queries.enqueue_message(connection, job_id=job.id)
    return made is not None


async def restore_key(connection: Connection, job: RevivedJob) -> UUID:
    """Make its Idempotency-Key stand for the job, unless it stands for another; return which it stands for."""
    stands_for: UUID = await _queries.restore_key(
        connection, tenant_id=job.tenant_id, key=job.idempotency_key, body_hash=job.body_hash, job_id=job.id
    )
    return stands_for


async def mark_orphans_replaying(connection: Connection, job_id: UUID) -> None:
    await _queries.mark_orphans_replaying(connection, job_id=job_id)


async def record_audit(connection: Connection, actor: str, action: str, subject: UUID) -> None:
    await _queries.record_audit(connection, actor=actor, action=action, subject=subject)


async def count_jobs(connection: Connection, at_most: int) -> dict[tuple[str, str], int]:
    """Waiting and running jobs by (status, model), counted up to `at_most` each. `connection` is an index walk's."""
    rows = _queries.count_jobs(connection, at_most=at_most)
    return {(row["status"], row["model"]): row["count"] async for row in rows}


async def measure_outbox(connection: Connection, at_most: int) -> tuple[int, float]:
    """Rows in the outbox, counted up to `at_most`, and for how many seconds the most overdue one has been due."""
    row = await _queries.measure_outbox(connection, at_most=at_most)
    return row["depth"], max(0.0, row["age"])


async def count_open_letters(connection: Connection, at_most: int) -> dict[str, int]:
    """Open dead letters by kind, counted up to `at_most`."""
    return {row["kind"]: row["count"] async for row in _queries.count_open_letters(connection, at_most=at_most)}


def _record(row: Any, record: type[T]) -> T:
    return record(**row)


def _raw(column: bytes | None) -> msgspec.Raw | None:
    return None if column is None else msgspec.Raw(column)


def _text(body: bytes | None) -> str | None:
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
