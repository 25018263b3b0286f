"""The table `worker_sessions`, with what its workers hold and did."""

from collections import Counter, defaultdict
from datetime import datetime

import msgspec

from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api.workers import WorkerJob
from operations.workers.records import Session, Tally

queries = load_queries("operations.workers")
_decode_jobs = msgspec.json.Decoder(tuple[WorkerJob, ...]).decode
_decode_versions = msgspec.json.Decoder(dict[str, str]).decode

NEWEST_ATTEMPTS = 10_000
"""Among how many attempts of all workers those of each are counted."""


async def list_workers(connection: Connection, worker: str | None, model: str | None, at_most: int) -> list[Session]:
    """Return the open sessions by worker."""
    rows = queries.list_workers(connection, worker=worker, model=model, at_most=at_most)
    return [_session(row) async for row in rows]


async def list_lost(connection: Connection, worker: str | None, model: str | None, at_most: int) -> list[Session]:
    """Return the last sessions of lost workers."""
    rows = queries.list_lost(connection, worker=worker, model=model, at_most=at_most)
    return [_session(row) async for row in rows]


async def count_attempts(connection: Connection) -> dict[str, Tally]:
    """Count the newest attempts of the last hour by worker."""
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    async for row in queries.count_attempts(connection, newest=NEWEST_ATTEMPTS):
        outcomes[row["worker"]][row["outcome"]] += row["attempts"]
        if row["code"] is not None:
            errors[row["worker"]][row["code"]] += row["attempts"]
    return {worker: Tally(dict(counted), dict(errors[worker])) for worker, counted in outcomes.items()}


async def request_drain(connection: Connection, worker: str) -> tuple[datetime, bool] | None:
    """Ask a worker to drain. Return since when, and whether that is new; None if it has no open session."""
    row = await queries.request_drain(connection, worker=worker)
    return (row["drain_requested_at"], row["changed"]) if row else None


async def cancel_drain(connection: Connection, worker: str) -> tuple[datetime | None, bool] | None:
    """Let a worker take jobs again. Return since when it drained, and whether it did; None without an open session."""
    row = await queries.cancel_drain(connection, worker=worker)
    return (row["requested_at"], row["changed"]) if row else None


def _session(row: Row) -> Session:
    fields = dict(row)
    fields["versions"] = _decode_versions(fields["versions"]) if fields["versions"] else {}
    if "jobs" in fields:
        fields["jobs"] = _decode_jobs(fields["jobs"]) if fields["jobs"] else ()
    return Session(**fields)
