"""The job's record as its holder sees it. The one module that uses this package's queries.

Every method raises DatabaseUnavailableError and TransactionClashError; after the first it is unknown whether the
write took effect, and every method may be called again with the same arguments.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database, load_queries
from contracts.api import JobError
from contracts.messages import RenderMessage
from contracts.topology import Lane
from gpu_consumer.outcome import Succeeded

queries = load_queries("gpu_consumer")


class Claimed(msgspec.Struct, frozen=True):
    """The job is ours until its lease is over; the token fences every write."""

    job_id: UUID
    generation: int
    token: UUID
    attempt: int
    model: str
    input: bytes
    """contracts.api.JobInput as JSON."""
    previous_error: str | None
    """Code of the failure before this attempt."""
    process_losses: int = 0
    """Render processes that earlier attempts of this generation lost."""


class NotDue(msgspec.Struct, frozen=True):
    """A retry whose time has not come."""

    wait_ms: float


class DeadLettered(msgspec.Struct, frozen=True):
    """The job is dead in the message's generation: the message belongs among the dead letters."""


class Obsolete(msgspec.Struct, frozen=True):
    """Nothing to do for this message: the job runs, is finished, was replayed or deleted."""

    reason: str


Verdict = Claimed | NotDue | DeadLettered | Obsolete


class Beat(msgspec.Struct, frozen=True):
    cancel_requested: bool
    cancel_age_seconds: float = 0.0
    """How long ago that was, by the database's clock."""


class Message(msgspec.Struct, frozen=True):
    """A message as a dead letter keeps it."""

    body: bytes
    headers: dict[str, Any]
    """Safe for JSON."""


class Store:
    def __init__(self, database: Database, worker: str, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker
        self._lease = timedelta(seconds=lease_seconds)

    async def claim(self, message: RenderMessage, token: UUID) -> Verdict:
        """Take the job, or tell why it can't be taken."""
        async with self._database.connection() as connection:
            row = await queries.claim(
                connection,
                job_id=message.job_id,
                generation=message.generation,
                token=token,
                worker=self._worker,
                lease=self._lease,
            )
            if row is not None:
                return _claimed(row)
            return _verdict(await queries.look(connection, job_id=message.job_id), message, token)

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        """Extend the lease; None when the job is no longer ours."""
        async with self._database.connection() as connection:
            row = await queries.heartbeat(
                connection, job_id=claimed.job_id, token=claimed.token, lease=self._lease, step=step, steps=steps
            )
        return None if row is None else Beat(row["cancel_requested"], row["cancel_age"] or 0.0)

    async def succeed(self, claimed: Claimed, success: Succeeded) -> bool:
        """Record a success. Returns whether the job was still ours."""
        values = {"outputs": success.outputs, "receipt": success.receipt, "metrics": success.metrics}
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, "succeeded", **values)

    async def fail(self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], message: Message) -> bool:
        """Record a failure for good, with its dead letter. Returns whether the job was still ours."""
        async with self._database.transaction() as connection:
            ours = await _finish(connection, claimed, "failed", error=error, body=message.body, headers=message.headers)
            if detail and ours:
                await queries.add_detail(connection, token=claimed.token, detail=detail)
        return ours

    async def cancel(self, claimed: Claimed) -> bool:
        """Record that it was canceled. Returns whether the job was still ours."""
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, "canceled")

    async def retry(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], lane: Lane, message: Message
    ) -> str | None:
        """Give the job back after a failure. Returns the status it came to, or None when it was no longer ours."""
        async with self._database.transaction() as connection:
            status = await self._give_back(
                connection,
                claimed,
                outcome="retried",
                error=error,
                lane=lane.name,
                delay=timedelta(milliseconds=lane.ttl_ms),
                body=message.body,
                headers=message.headers,
            )
            if detail and status is not None:
                await queries.add_detail(connection, token=claimed.token, detail=detail)
        return status

    async def release(self, claimed: Claimed) -> str | None:
        """Give the job back as if it had not been tried. Returns as `retry` does."""
        async with self._database.connection() as connection:
            return await self._give_back(connection, claimed, outcome="released")

    async def reap_predecessor(self) -> int:
        """Return all jobs held under this worker's name, which the caller has locked; how many there were."""
        reaped = 0
        while True:
            async with self._database.connection() as connection:
                returned = int(await queries.reap(connection, worker=self._worker))
            if returned == 0:
                return reaped
            reaped += returned

    async def _give_back(self, connection: Connection, claimed: Claimed, **values: Any) -> str | None:
        nothing = dict.fromkeys(("error", "lane", "delay", "body", "headers"))
        status: str | None = await queries.give_back(
            connection, job_id=claimed.job_id, token=claimed.token, **(nothing | values)
        )
        return status


async def _finish(connection: Connection, claimed: Claimed, status: str, **values: Any) -> bool:
    nothing = dict.fromkeys(("error", "outputs", "receipt", "metrics", "body", "headers"))
    ours = await queries.finish(
        connection,
        job_id=claimed.job_id,
        generation=claimed.generation,
        token=claimed.token,
        status=status,
        **(nothing | values),
    )
    return bool(ours)


def _claimed(row: Any) -> Claimed:
    return Claimed(
        job_id=row["id"],
        generation=row["generation"],
        token=row["lease_token"],
        attempt=row["attempt"],
        model=row["model"],
        input=row["input"],
        previous_error=row["previous_error"],
        process_losses=row["process_losses"],
    )


def _verdict(row: Any, message: RenderMessage, token: UUID) -> Verdict:
    if row is None:
        return Obsolete("deleted")
    if row["generation"] != message.generation:
        return Obsolete("superseded")
    if row["lease_token"] == token:
        return _claimed(row)  # the answer to an earlier try of this very claim was lost
    if row["dead_lettered"]:
        return DeadLettered()
    if row["status"] == "queued" and row["waits"]:
        return NotDue(max(0.0, row["wait_ms"]))
    return Obsolete(row["status"])
