"""Retention's statements on every table whose rows are removed."""

from datetime import datetime, timedelta
from uuid import UUID

from chassis.jobs.row import decode_columns
from chassis.postgres import Connection, load_queries
from operations.retention.records import AttemptPosition, Batch, ObjectSweep

queries = load_queries("operations.retention")


async def prune_idempotency_keys(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove old Idempotency-Keys. Return how many there were."""
    return int(await queries.prune_idempotency_keys(connection, at_most=at_most, age=age))


async def prune_letters(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove dead letters that were resolved long ago. Return how many there were."""
    return int(await queries.prune_letters(connection, at_most=at_most, age=age))


async def prune_endpoints(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove endpoints of webhooks that were deleted long ago and have no deliveries. Return how many there were."""
    return int(await queries.prune_endpoints(connection, at_most=at_most, age=age))


async def prune_sessions(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove old worker sessions that no attempt refers to. Return how many there were."""
    return int(await queries.prune_sessions(connection, at_most=at_most, age=age))


async def prune_alerts(connection: Connection, at_most: int, age: timedelta) -> int:
    """Remove alerts that were resolved long ago. Return how many there were."""
    return int(await queries.prune_alerts(connection, at_most=at_most, age=age))


async def expire_pictures(connection: Connection, at_most: int, age: timedelta) -> int:
    """Record that the pictures of old jobs are gone, and schedule sweeps of their objects. Return how many jobs."""
    return int(await queries.expire_pictures(connection, at_most=at_most, age=age))


async def prune_attempts(
    connection: Connection, after: AttemptPosition, at_most: int, age: timedelta
) -> tuple[Batch, AttemptPosition]:
    """Visit the next attempts of a pass and remove those that may go. Return the pass's new position as well."""
    row = await queries.prune_attempts(
        connection, after_time=after.started_at, after_token=after.lease_token, at_most=at_most, age=age
    )
    batch = Batch(row["visited"], row["removed"])
    return batch, AttemptPosition(row["last_time"], row["last_token"]) if batch.visited else after


async def prune_deliveries(connection: Connection, after: UUID, at_most: int, age: timedelta) -> tuple[Batch, UUID]:
    """Visit the next deliveries of a pass and remove those that may go. Return the pass's new position as well."""
    row = await queries.prune_deliveries(connection, after=after, at_most=at_most, age=age)
    batch = Batch(row["visited"], row["removed"])
    return batch, row["last_id"] if batch.visited else after


async def hold_purge(connection: Connection) -> None:
    """Keep `purged_before` where it is until the transaction ends."""
    await queries.hold_purge(connection)


async def advance_purge(connection: Connection, age: timedelta) -> datetime:
    """Advance `purged_before` within the caller's transaction, and return it."""
    # A transaction that records an orphan locks this row as well. A new statement after the wait sees that orphan.
    await queries.lock_instance(connection)
    purged_before: datetime = await queries.advance_purge(connection, age=age)
    return purged_before


async def purge_jobs(
    connection: Connection, after: UUID, before: UUID, at_most: int, age: timedelta
) -> tuple[Batch, UUID]:
    """Visit the next jobs of a pass by id and remove those that may go. Return the pass's new position as well."""
    row = await queries.purge_jobs(connection, after=after, before=before, at_most=at_most, age=age)
    batch = Batch(row["visited"], row["removed"])
    return batch, row["last_id"] if batch.visited else after


async def claim_sweeps(connection: Connection, at_most: int, hold: timedelta) -> list[ObjectSweep]:
    """Claim the object sweeps that are due, for as long as `hold`."""
    return [ObjectSweep(**row) async for row in queries.claim_sweeps(connection, at_most=at_most, hold=hold)]


def listed_keys(sweep: ObjectSweep) -> frozenset[str]:
    """Return the keys of the objects to keep. Raises UndecodableColumnError."""
    if sweep.gone:
        return frozenset()
    columns = decode_columns({"outputs": sweep.outputs}, ["outputs"])
    return frozenset(output.key for output in columns["outputs"])


async def end_sweep(connection: Connection, sweep: ObjectSweep) -> None:
    """Forget a finished sweep, unless another one was scheduled meanwhile."""
    await queries.end_sweep(connection, job_id=sweep.job_id, due_at=sweep.due_at)


async def sweep_again(connection: Connection, sweep: ObjectSweep, pause: timedelta, *, found: bool) -> None:
    """Schedule another sweep after a pause; `found` says whether this one found an object."""
    await queries.sweep_again(connection, job_id=sweep.job_id, due_at=sweep.due_at, found=found, pause=pause)


async def cancel_sweep(connection: Connection, job_id: UUID, hold: timedelta) -> bool:
    """Cancel a job's scheduled sweep. Return True while a sweep claimed for `hold` is under way."""
    return bool(await queries.cancel_sweep(connection, job_id=job_id, hold=hold))
