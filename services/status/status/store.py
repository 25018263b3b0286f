"""What the status service reads from Postgres."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from chassis.jobs.row import DeletedRow, JobRow, UndecodableRow, decode_job
from chassis.postgres import Database, load_queries

EXACT_UP_TO = 1000
"""The largest position in the queue that is counted."""

queries = load_queries("status")


class PlacedJob(JobRow, frozen=True, kw_only=True):
    """A job with its place in the queue."""

    ahead: int | None = None
    """Jobs of the model that wait before this one; EXACT_UP_TO + 1 for any larger number. None unless queued."""


FoundJob: TypeAlias = PlacedJob | DeletedRow | UndecodableRow


class Mark(msgspec.Struct, frozen=True, order=True):
    """A waiting job and its place in the queue, counted from 0. Marks are ordered as the queue is."""

    queued_at: datetime
    id: UUID
    place: int


class Pace(msgspec.Struct, frozen=True):
    """How fast a model's latest jobs were rendered."""

    seconds: float
    """Mean duration of a job, from claim to settle."""
    workers: int


class Store:
    """The queries of the status service. All methods raise what `Database.connection` raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_jobs(self, ids: list[UUID]) -> dict[UUID, FoundJob]:
        """Return the jobs that exist, by id, each decoded by itself."""
        async with self._database.connection() as connection:
            records = [record async for record in queries.find_jobs(connection, ids=ids)]
        return {record["id"]: decode_job(record, PlacedJob) for record in records}

    async def is_purged(self, job_id: UUID) -> bool:
        """Return whether retention removed all jobs of that age."""
        async with self._database.connection() as connection:
            return bool(await queries.is_purged(connection, job_id=job_id))

    async def sample_queue(self, model: str) -> list[Mark]:
        """Return marks along the model's queue, first to last."""
        async with self._database.index_walk() as connection:
            return [Mark(*record) async for record in queries.sample_queue(connection, model=model)]

    async def measure_pace(self, model: str) -> Pace | None:
        """Return the pace of the last ten minutes, or None if no job of the model succeeded in them."""
        async with self._database.index_walk() as connection:
            record = await queries.measure_pace(connection, model=model)
        return Pace(record["seconds"], record["workers"]) if record["workers"] else None
