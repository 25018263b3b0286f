"""The job's record as its holder sees it. The one module that uses this package's queries.

Every method raises DatabaseUnavailableError and TransactionClashError; after the first it is unknown whether the
write took effect, and every method may be called again with the same arguments.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database, load_queries
from darkroom_contracts.api import JobError
from darkroom_contracts.messages import RenderMessage, v2
from darkroom_contracts.topology import Lane
from gpu_consumer.job.outcome import Succeeded
from gpu_consumer.protocol import Ready

queries = load_queries("gpu_consumer.job")


class Claimed(msgspec.Struct, frozen=True):
    """The job is ours until its lease is over; the token fences every write."""

    job_id: UUID
    generation: int
    token: UUID
    attempt: int
    model: str
    input: bytes
    """darkroom_contracts.api.JobInput as JSON."""
    previous_error: str | None
    """Code of the failure before this attempt."""
    process_losses: int = 0
    """Render processes that earlier attempts of this generation lost."""
    deadline_seconds: float | None = None
    """Left until the job's deadline."""


class NotDue(msgspec.Struct, frozen=True):
    """A retry whose time has not come."""

    wait_ms: float


class Paused(msgspec.Struct, frozen=True):
    """The model takes nothing new: the message waits in a lane, and then in its queue."""


class Orphan(msgspec.Struct, frozen=True):
    """No such job, though none of its age was purged: the database is older than the message."""


class Foreign(msgspec.Struct, frozen=True):
    """No such job, and the message speaks of another database's: everything here may be another's."""


class DeadLettered(msgspec.Struct, frozen=True):
    """The job is dead in the message's generation: the message belongs among the dead letters."""


class Obsolete(msgspec.Struct, frozen=True):
    """Nothing to do for this message: the job runs, is finished, was replayed or deleted."""

    reason: str


Verdict = Claimed | NotDue | Paused | DeadLettered | Orphan | Foreign | Obsolete


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
    def __init__(self, database: Database, worker: str, session_id: UUID, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker
        self._session_id = session_id
        self._lease = timedelta(seconds=lease_seconds)

    @property
    def lease_seconds(self) -> float:
        """How long a claim or a heartbeat keeps the job."""
        return self._lease.total_seconds()

    async def open_session(self, model: str) -> bool:
        """Record this session, and end those that the worker left open before; whether the model is paused."""
        async with self._database.connection() as connection:
            return bool(await queries.open_session(connection, id=self._session_id, worker=self._worker, model=model))

    async def describe_session(self, ready: Ready, gpu_id: str | None) -> None:
        """Record what the session renders on."""
        async with self._database.connection() as connection:
            await queries.describe_session(
                connection,
                id=self._session_id,
                device=ready.device,
                gpu_id=gpu_id,
                model_revision=ready.model_revision,
                versions=ready.versions,
            )

    async def beat_session(self, empty_age: float | None, empty_before_age: float | None) -> bool | None:
        """Show that the session lives, and how many seconds ago its queue was empty.

        Returns whether the model is paused, or None when there is no such session.
        """
        async with self._database.connection() as connection:
            paused: bool | None = await queries.beat_session(
                connection, id=self._session_id, empty_age=empty_age, empty_before_age=empty_before_age
            )
        return paused

    async def end_session(self) -> None:
        async with self._database.connection() as connection:
            await queries.end_session(connection, id=self._session_id)

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict:
        """Take the job, or return why it can't be taken. What is `rendered` already is late for nothing."""
        async with self._database.connection() as connection:
            row = await queries.claim(
                connection,
                job_id=message.job_id,
                generation=message.generation,
                token=token,
                worker=self._worker,
                session=self._session_id,
                lease=self._lease,
                stamped_at=_stamped_at(message),
                rendered=rendered,
            )
            if row is not None:
                return _claimed(row)
            return _verdict(await queries.look(connection, job_id=message.job_id), message, token)

    async def look(self, message: RenderMessage) -> Verdict:
        """Return what to do about the message of a job that was not claimed; never Claimed."""
        async with self._database.connection() as connection:
            row = await queries.look(connection, job_id=message.job_id)
        if row["status"] == "queued" and row["generation"] == message.generation:
            return NotDue(max(0.0, row["wait_ms"] or 0.0))
        return _verdict(row, message, None)

    async def note_parked(self, message: RenderMessage, wait: timedelta) -> None:
        """Record that the job's message reaches its queue only after `wait`."""
        async with self._database.connection() as connection:
            await queries.note_parked(connection, job_id=message.job_id, generation=message.generation, wait=wait)

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

    async def expire(self, claimed: Claimed, error: JobError) -> bool:
        """Record that its deadline passed. Returns whether the job was still ours."""
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, "expired", error=error)

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

    async def refund(self, tokens: list[UUID]) -> int:
        """Refund these attempts, whose losses were not their jobs' fault; how many could be."""
        async with self._database.connection() as connection:
            return int(await queries.refund(connection, tokens=tokens))

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
        deadline_seconds=row["deadline_seconds"],
    )


def _verdict(row: Any, message: RenderMessage, token: UUID | None) -> Verdict:
    if row["id"] is None:
        return _absence(row, message)
    if row["generation"] != message.generation:
        return Obsolete("superseded")
    if token is not None and row["lease_token"] == token:
        return _claimed(row)  # the answer to an earlier try of this very claim was lost
    if row["dead_lettered"]:
        return DeadLettered()
    if row["status"] == "queued" and row["waits"]:
        return NotDue(max(0.0, row["wait_ms"]))
    if row["status"] == "queued" and row["paused"]:
        return Paused()
    return Obsolete(row["status"])


def _absence(row: Any, message: RenderMessage) -> Verdict:
    """Return what it means that there is no such job."""
    if isinstance(message, v2.Render) and message.instance_id != row["instance_id"]:
        return Foreign()
    return Obsolete("purged") if row["purged"] else Orphan()


def _stamped_at(message: RenderMessage) -> datetime | None:
    return message.stamped_at if isinstance(message, v2.Render) else None
