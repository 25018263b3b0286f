"""What the status service reads from Postgres."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from chassis.postgres import Database, load_queries
from darkroom_contracts.api import JobError, JobInput, JobMetrics, Receipt
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus

EXACT_UP_TO = 1000
"""Positions in the queue are counted up to here."""

T = TypeVar("T")

queries = load_queries("status")


class DeletedRow(msgspec.Struct, frozen=True):
    """What is left of a deleted job."""

    tenant_id: UUID


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the database holds it, with operators' edits in its model and input."""

    id: UUID
    tenant_id: UUID
    user_id: str | None = None
    model: str
    input: JobInput
    edits: dict[str, Any] | None = None
    metadata: dict[str, str]
    retried_from: UUID | None
    status: JobStatus
    version: int = 1
    generation: int
    attempt: int
    max_attempts: int
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime
    deadline_at: datetime | None = None
    next_attempt_at: datetime | None
    session_id: UUID | None = None
    step: int | None
    steps: int | None
    error: JobError | None
    outputs: list[StoredOutput]
    outputs_removed_at: datetime | None = None
    receipt: Receipt | None
    metrics: JobMetrics
    dead_lettered: bool
    ahead: int | None
    """Jobs that wait before this one; EXACT_UP_TO + 1 stands for all that is more. None unless queued."""


class UndecodableRow(msgspec.Struct, frozen=True):
    """A job whose row holds what this version can't read."""

    id: UUID
    tenant_id: UUID
    column: str


class Mark(msgspec.Struct, frozen=True, order=True):
    """A waiting job and its place in the queue, counted from 0. Ordered as the queue is."""

    queued_at: datetime
    id: UUID
    place: int


class Pace(msgspec.Struct, frozen=True):
    """How fast a model's jobs went lately."""

    seconds: float
    """What a job took, from claim to settle."""
    workers: int


class Store:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_jobs(self, ids: list[UUID]) -> dict[UUID, JobRow | DeletedRow | UndecodableRow]:
        """The jobs there are, by id, each decoded for itself. Raises DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            records = [record async for record in queries.find_jobs(connection, ids=ids)]
        return {record["id"]: _job_row(record) for record in records}

    async def is_purged(self, job_id: UUID) -> bool:
        """Whether retention removed all jobs of that age. Raises DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return bool(await queries.is_purged(connection, job_id=job_id))

    async def sample_queue(self, model: str) -> list[Mark]:
        """Marks along the model's queue, first to last. Raises DatabaseUnavailableError."""
        async with self._database.index_walk() as connection:
            return [Mark(*record) async for record in queries.sample_queue(connection, model=model)]

    async def measure_pace(self, model: str) -> Pace | None:
        """None when no job of the model succeeded lately. Raises DatabaseUnavailableError."""
        async with self._database.index_walk() as connection:
            record = await queries.measure_pace(connection, model=model)
        return Pace(record["seconds"], record["workers"]) if record["workers"] else None


def _job_row(record: Any) -> JobRow | DeletedRow | UndecodableRow:
    values = dict(record)
    if values.pop("deleted"):
        return DeletedRow(values["tenant_id"])
    for column, decode in _DECODERS.items():
        try:
            values[column] = decode(values[column])
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # its message would quote the row
            return UndecodableRow(values["id"], values["tenant_id"], column)
    return JobRow(**values)


def _or(default: Callable[[], T | None], decode: Callable[[bytes], T]) -> Callable[[bytes | None], T | None]:
    return lambda value: decode(value) if value else default()


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "status": JobStatus,
    "input": msgspec.json.Decoder(JobInput).decode,
    "edits": _or(lambda: None, msgspec.json.Decoder(dict[str, Any]).decode),
    "metadata": msgspec.json.Decoder(dict[str, str]).decode,
    "error": _or(lambda: None, msgspec.json.Decoder(JobError).decode),
    "outputs": _or(list[StoredOutput], msgspec.json.Decoder(list[StoredOutput]).decode),
    "receipt": _or(lambda: None, msgspec.json.Decoder(Receipt).decode),
    "metrics": _or(JobMetrics, msgspec.json.Decoder(JobMetrics).decode),
}
