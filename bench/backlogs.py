"""Fill a stack's database with finished jobs and with queued jobs whose messages are published."""

import asyncio
import time
from datetime import timedelta

import asyncpg
import msgspec

from bench.load import Drain
from bench.progress import Progress
from chassis.postgres import load_queries

queries = load_queries("bench")

CHUNK = 100_000
FILL_SECONDS = 900
DRAIN_SECONDS = 120.0
POLL_SECONDS = 0.01


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs to write into the database."""

    model: str
    queued: int
    succeeded: int
    span: timedelta = timedelta(hours=6)
    """Age of the oldest queued job. The youngest one is new."""
    due: timedelta = timedelta(days=2)
    """Age at which earlier versions publish a job again. Two days keep them from doing so during a measurement."""


async def fill(database: asyncpg.Connection, backlog: Backlog, progress: Progress) -> None:
    """Replace all jobs by this backlog, with an empty outbox, and write it to disk with fresh statistics."""
    await queries.empty(database)
    await queries.create_wanted_tables(database)
    await queries.want_succeeded_jobs(database, model=backlog.model, jobs=backlog.succeeded)
    await queries.want_attempts(database)
    await _insert(database)
    for first in range(1, backlog.queued + 1, CHUNK):
        await _queue(database, backlog, first, min(first + CHUNK - 1, backlog.queued))
        if backlog.queued > CHUNK:
            progress(f"{min(first + CHUNK - 1, backlog.queued):,} of {backlog.queued:,} jobs queued")
    await queries.drop_wanted_tables(database)
    await write_out(database)


async def write_out(database: asyncpg.Connection) -> None:
    """Vacuum and analyze the tables, then checkpoint."""
    await database.execute(queries.vacuum.sql, timeout=FILL_SECONDS)
    await database.execute(queries.checkpoint.sql, timeout=FILL_SECONDS)


async def job_paths(database: asyncpg.Connection, at_most: int) -> dict[str, list[str]]:
    """Return paths of distinct jobs in random order: `queued` ones deep in the queue, and `succeeded` ones."""
    return {
        "queued": [f"/v1/jobs/{row['id']}" async for row in queries.queued_ids(database, at_most=at_most)],
        "succeeded": [f"/v1/jobs/{row['id']}" async for row in queries.succeeded_ids(database, at_most=at_most)],
    }


async def drain(database: asyncpg.Connection) -> Drain:
    """Wait until the relay has emptied the outbox. Raises TimeoutError."""
    depth = await queries.outbox_depth(database)
    began = time.monotonic()
    while not await queries.outbox_is_empty(database):
        if time.monotonic() - began > DRAIN_SECONDS:
            raise TimeoutError(f"The outbox held {depth} rows and was not empty after {DRAIN_SECONDS:g} s.")
        await asyncio.sleep(POLL_SECONDS)
    return Drain(depth, time.monotonic() - began)


async def _queue(database: asyncpg.Connection, backlog: Backlog, first: int, last: int) -> None:
    await queries.want_queued_jobs(
        database,
        model=backlog.model,
        first=first,
        last=last,
        of=backlog.queued,
        span=backlog.span,
        due=backlog.due,
    )
    await _insert(database)


async def _insert(database: asyncpg.Connection) -> None:
    """Move the wanted rows into the tables, with the columns that those have."""
    await queries.insert_wanted_jobs(database)
    await queries.insert_wanted_attempts(database)
    await queries.forget_wanted(database)
