"""Rows of `jobs`: the one place that decodes them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from darkroom_contracts.api import JobError, JobInput, JobMetrics, Receipt
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.states import JobStatus
from darkroom_contracts.webhooks import WebhookEvent

J = TypeVar("J", bound="JobRow")
T = TypeVar("T")


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the database stores it, with operators' edits in its model and input.

    The defaults are those of a job that was just accepted.
    """

    id: UUID
    tenant_id: UUID
    user_id: str | None = None
    model: str
    input: JobInput
    edits: dict[str, Any] | None = None
    metadata: dict[str, str] = {}
    retried_from: UUID | None = None
    status: JobStatus = JobStatus.QUEUED
    version: int = 1
    generation: int = 1
    attempt: int = 0
    max_attempts: int
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime
    deadline_at: datetime | None = None
    next_attempt_at: datetime | None = None
    session_id: UUID | None = None
    step: int | None = None
    steps: int | None = None
    error: JobError | None = None
    outputs: list[StoredOutput] = []
    outputs_removed_at: datetime | None = None
    receipt: Receipt | None = None
    metrics: JobMetrics = JobMetrics()
    dead_lettered: bool = False


class DeletedRow(msgspec.Struct, frozen=True):
    """What remains of a deleted job."""

    tenant_id: UUID


class UndecodableRow(msgspec.Struct, frozen=True):
    """A job whose row this version cannot decode."""

    id: UUID
    tenant_id: UUID
    column: str


class UndecodableColumnError(ValueError):
    """A column of a job's row cannot be decoded. The message does not quote the row."""

    def __init__(self, column: str) -> None:
        super().__init__(f"The column {column} cannot be decoded.")
        self.column = column


def decode_job(row: Mapping[str, Any], into: type[J]) -> J | DeletedRow | UndecodableRow:
    """Decode a row that has the fields of `into`, and `deleted`."""
    if row["deleted"]:
        return DeletedRow(row["tenant_id"])
    try:
        return into(**decode_columns(row, into.__struct_fields__))
    except UndecodableColumnError as error:
        return UndecodableRow(row["id"], row["tenant_id"], error.column)


def decode_columns(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Return the columns, with JSON and enumerations decoded. Raises UndecodableColumnError."""
    values = {column: row[column] for column in columns}
    for column, decode in _DECODERS.items():
        if column in values:
            try:
                values[column] = decode(values[column])
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # whose message would quote the row
                raise UndecodableColumnError(column) from None
    return values


def _or(default: Callable[[], T | None], decode: Callable[[bytes], T]) -> Callable[[bytes | None], T | None]:
    return lambda value: decode(value) if value else default()


def _none() -> None:
    return None


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "status": JobStatus,
    "input": msgspec.json.Decoder(JobInput).decode,
    "edits": _or(_none, msgspec.json.Decoder(dict[str, Any]).decode),
    "metadata": msgspec.json.Decoder(dict[str, str]).decode,
    "webhook_events": lambda events: tuple(map(WebhookEvent, events)),
    "error": _or(_none, msgspec.json.Decoder(JobError).decode),
    "outputs": _or(list[StoredOutput], msgspec.json.Decoder(list[StoredOutput]).decode),
    "receipt": _or(_none, msgspec.json.Decoder(Receipt).decode),
    "metrics": _or(JobMetrics, msgspec.json.Decoder(JobMetrics).decode),
}
