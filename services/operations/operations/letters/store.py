"""The table `dead_letters`, as the ingest writes it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from chassis.postgres import Connection, load_queries
from darkroom_contracts.api import JobError
from darkroom_contracts.messages import v2
from operations.letters.records import NamedJob, Orphan, Undecodable

queries = load_queries("operations.letters")


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


async def attach_x_deaths(
    connection: Connection, dead: Mapping[int, NamedJob], bodies: Sequence[bytes | None], headers: Sequence[Any]
) -> set[int]:
    """Add the broker's records to the letters of jobs that have none. Return the keys of those that have a letter.

    A message that names no tenant must have the letter's own body.
    """
    rows = queries.attach_x_deaths(
        connection,
        numbers=list(dead),
        job_ids=[job.job_id for job in dead.values()],
        generations=[job.generation for job in dead.values()],
        tenant_ids=[job.tenant_id for job in dead.values()],
        bodies=bodies,
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
