"""What the status service reads from Postgres."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Database, load_queries
from contracts.api import JobError, JobInput, JobMetrics, Receipt
from contracts.objects import StoredOutput
from contracts.states import JobStatus

EXACT_UP_TO = 1000
"""Positions in the queue are counted up to here."""

queries = load_queries("status")
_decode_input = msgspec.json.Decoder(JobInput).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode
_decode_error = msgspec.json.Decoder(JobError).decode
_decode_outputs = msgspec.json.Decoder(list[StoredOutput]).decode
_decode_receipt = msgspec.json.Decoder(Receipt).decode
_decode_metrics = msgspec.json.Decoder(JobMetrics).decode


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the database holds it."""

    id: UUID
    tenant_id: UUID
    model: str
    input: JobInput
    metadata: dict[str, str]
    retried_from: UUID | None
    status: JobStatus
    generation: int
    attempt: int
    max_attempts: int
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime
    next_attempt_at: datetime | None
    step: int | None
    steps: int | None
    error: JobError | None
    outputs: list[StoredOutput]
    receipt: Receipt | None
    metrics: JobMetrics
    dead_lettered: bool
    ahead: int | None
    """Jobs that wait before this one; EXACT_UP_TO + 1 stands for all that is more. None unless queued."""


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

    async def find_jobs(self, ids: list[UUID]) -> dict[UUID, JobRow]:
        """The jobs there are, by id. Raises DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            records = [record async for record in queries.find_jobs(connection, ids=ids)]
        return {record["id"]: _job_row(record) for record in records}

    async def sample_queue(self, model: str) -> list[Mark]:
        """Marks along the model's queue, first to last. Raises DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            return [Mark(*record) async for record in queries.sample_queue(connection, model=model)]

    async def measure_pace(self, model: str) -> Pace | None:
        """None when no job of the model succeeded lately. Raises DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            record = await queries.measure_pace(connection, model=model)
        return Pace(record["seconds"], record["workers"]) if record["workers"] else None


def _job_row(record: Any) -> JobRow:
    values = dict(record)
    values["status"] = JobStatus(values["status"])
    values["input"] = _decode_input(values["input"])
    values["metadata"] = _decode_metadata(values["metadata"])
    values["error"] = _decode_error(values["error"]) if values["error"] else None
    values["outputs"] = _decode_outputs(values["outputs"]) if values["outputs"] else []
    values["receipt"] = _decode_receipt(values["receipt"]) if values["receipt"] else None
    values["metrics"] = _decode_metrics(values["metrics"]) if values["metrics"] else JobMetrics()
    return JobRow(**values)
