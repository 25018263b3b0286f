"""What retention reads and writes. The only module that touches this package's queries.sql."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, load_queries
from darkroom_contracts.objects import StoredOutput

queries = load_queries("operations.retention")
_decode_outputs = msgspec.json.Decoder(list[StoredOutput]).decode

FIRST_ID = UUID(int=0)


class AttemptPlace(msgspec.Struct, frozen=True):
    """Where a pass over the attempts is."""

    started_at: datetime = datetime(1, 1, 2, tzinfo=UTC)
    lease_token: UUID = FIRST_ID


class Batch(msgspec.Struct, frozen=True):
    """What a step of a pass looked at, and how much of it went."""

    walked: int
    removed: int


class ObjectSweep(msgspec.Struct, frozen=True):
    """A job whose objects are to be looked through, claimed until `due_at`."""

    job_id: UUID
    due_at: datetime
    gone: bool
    """The job was deleted or purged: all of its objects are to go."""
    ended: bool
    stayed_empty: bool
    """Nothing was found for an hour."""
    keep: frozenset[str]
    """The keys that the job's record lists."""


async def prune_idempotency_keys(connection: Connection, at_most: int, age: timedelta) -> int:
    return int(await queries.prune_idempotency_keys(connection, at_most=at_most, age=age))


async def prune_letters(connection: Connection, at_most: int, age: timedelta) -> int:
    return int(await queries.prune_letters(connection, at_most=at_most, age=age))


async def prune_deliveries(connection: Connection, at_most: int, age: timedelta) -> int:
    return int(await queries.prune_deliveries(connection, at_most=at_most, age=age))


async def prune_sessions(connection: Connection, at_most: int, age: timedelta) -> int:
    return int(await queries.prune_sessions(connection, at_most=at_most, age=age))


async def expire_pictures(connection: Connection, at_most: int, age: timedelta) -> int:
    """Record that the pictures of old jobs are gone, and have their objects swept; how many jobs there were."""
    return int(await queries.expire_pictures(connection, at_most=at_most, age=age))


async def prune_attempts(
    connection: Connection, after: AttemptPlace, at_most: int, age: timedelta
) -> tuple[Batch, AttemptPlace]:
    """Look at the next attempts of a pass. Returns where the pass is then."""
    row = await queries.prune_attempts(
        connection, after_time=after.started_at, after_token=after.lease_token, at_most=at_most, age=age
    )
    batch = Batch(row["walked"], row["removed"])
    return batch, AttemptPlace(row["last_time"], row["last_token"]) if batch.walked else after


async def advance_purge(connection: Connection, age: timedelta) -> datetime:
    """Move the line before which ids name purged jobs, within a transaction of the caller's. Returns the line."""
    # Whoever records an orphan holds this row, too: after the wait a new statement sees what they wrote.
    await queries.lock_instance(connection)
    line: datetime = await queries.advance_purge(connection, age=age)
    return line


async def purge_jobs(
    connection: Connection, after: UUID, before: UUID, at_most: int, age: timedelta
) -> tuple[Batch, UUID]:
    """Look at the next jobs of a pass, in the order of their ids. Returns where the pass is then."""
    row = await queries.purge_jobs(connection, after=after, before=before, at_most=at_most, age=age)
    batch = Batch(row["walked"], row["removed"])
    return batch, row["last_id"] if batch.walked else after


async def claim_sweeps(connection: Connection, at_most: int, hold: timedelta) -> list[ObjectSweep]:
    """Take the sweeps that are due; nobody else has them for as long as `hold`."""
    return [_sweep(row) async for row in queries.claim_sweeps(connection, at_most=at_most, hold=hold)]


async def end_sweep(connection: Connection, sweep: ObjectSweep) -> None:
    """Forget a sweep that is done, unless it was asked for again meanwhile."""
    await queries.end_sweep(connection, job_id=sweep.job_id, due_at=sweep.due_at)


async def sweep_again(connection: Connection, sweep: ObjectSweep, pause: timedelta, *, found: bool) -> None:
    """Look again after a pause; `found` says whether something was there this time."""
    await queries.sweep_again(connection, job_id=sweep.job_id, due_at=sweep.due_at, found=found, pause=pause)


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest job id of a moment: all ids made before it are lower (UUIDv7)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _sweep(row: Any) -> ObjectSweep:
    outputs = [] if row["gone"] or row["outputs"] is None else _decode_outputs(row["outputs"])
    return ObjectSweep(
        job_id=row["job_id"],
        due_at=row["due_at"],
        gone=row["gone"],
        ended=row["ended"],
        stayed_empty=row["stayed_empty"],
        keep=frozenset(output.key for output in outputs),
    )
