"""The job's row as its holder reads and writes it. The only module that uses this package's queries.

Every method raises TransientDatabaseError. After a DatabaseUnavailableError it is unknown whether the write took
effect; every method may be called again with the same arguments.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from chassis.postgres import Connection, Database, load_queries
from darkroom_contracts.api import JobError
from darkroom_contracts.messages import RenderMessage, v2
from darkroom_contracts.states import AttemptOutcome, JobStatus
from darkroom_contracts.topology import Lane
from gpu_consumer.job.outcome import Succeeded
from gpu_consumer.job.verdict import Claimed, Refusal, Verdict, claimed_from, judge, judge_returned

queries = load_queries("gpu_consumer.job")


class Beat(msgspec.Struct, frozen=True):
    """The answer to a heartbeat."""

    cancel_requested: bool
    cancel_age_seconds: float = 0.0
    """How long ago the cancel was requested, by the database's clock."""


class Letter(msgspec.Struct, frozen=True):
    """A message as its dead letter keeps it."""

    body: bytes
    headers: dict[str, Any]
    """Safe for JSON."""


class JobStore:
    """Claims jobs for one worker, and writes what their holder reports."""

    def __init__(self, database: Database, worker: str, session_id: UUID, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker
        self._session_id = session_id
        self._lease = timedelta(seconds=lease_seconds)

    @property
    def lease_seconds(self) -> float:
        """How long a claim or a heartbeat keeps the job."""
        return self._lease.total_seconds()

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict:
        """Claim the job, or return why it can't be claimed.

        `rendered`: the job's render is finished, so neither time nor a pause keeps it from its job.
        """
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
                return claimed_from(row)
            return judge(await queries.look(connection, job_id=message.job_id), message, token)

    async def look(self, message: RenderMessage) -> Refusal:
        """Return the verdict on the message of a job that this worker gave back after a failure."""
        async with self._database.connection() as connection:
            return judge_returned(await queries.look(connection, job_id=message.job_id), message)

    async def note_parked(self, message: RenderMessage, wait: timedelta) -> None:
        """Record that the job's message reaches its queue only after `wait`."""
        async with self._database.connection() as connection:
            await queries.note_parked(connection, job_id=message.job_id, generation=message.generation, wait=wait)

    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None:
        """Extend the lease. Return None when the job is not this worker's any more."""
        async with self._database.connection() as connection:
            row = await queries.heartbeat(
                connection, job_id=claimed.job_id, token=claimed.token, lease=self._lease, step=step, steps=steps
            )
        return None if row is None else Beat(row["cancel_requested"], row["cancel_age"] or 0.0)

    # Each method below ends the attempt. It returns the job's new status, or None when the job is not this worker's.

    async def succeed(self, claimed: Claimed, success: Succeeded) -> JobStatus | None:
        """Record a success."""
        times = {name: value for name, value in msgspec.structs.asdict(success.metrics).items() if value is not None}
        values = {"outputs": success.outputs, "receipt": success.receipt, "metrics": times}
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, JobStatus.SUCCEEDED, **values)

    async def fail(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], letter: Letter
    ) -> JobStatus | None:
        """Record a permanent failure, with its dead letter."""
        values = {"error": error, "body": letter.body, "headers": letter.headers}
        async with self._database.transaction() as connection:
            status = await _finish(connection, claimed, JobStatus.FAILED, **values)
            await _add_detail(connection, claimed, detail, status)
        return status

    async def cancel(self, claimed: Claimed) -> JobStatus | None:
        """Record a cancellation."""
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, JobStatus.CANCELED)

    async def expire(self, claimed: Claimed, error: JobError) -> JobStatus | None:
        """Record that the job's deadline passed."""
        async with self._database.connection() as connection:
            return await _finish(connection, claimed, JobStatus.EXPIRED, error=error)

    async def retry(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], lane: Lane, letter: Letter
    ) -> JobStatus | None:
        """Give the job back after a failure; its next message comes through `lane`."""
        values = {
            "error": error,
            "lane": lane.name,
            "delay": timedelta(milliseconds=lane.ttl_ms),
            "body": letter.body,
            "headers": letter.headers,
        }
        async with self._database.transaction() as connection:
            status = await _give_back(connection, claimed, AttemptOutcome.RETRIED, **values)
            await _add_detail(connection, claimed, detail, status)
        return status

    async def release(self, claimed: Claimed) -> JobStatus | None:
        """Give the job back without counting the attempt."""
        async with self._database.connection() as connection:
            return await _give_back(connection, claimed, AttemptOutcome.RELEASED)


async def _finish(connection: Connection, claimed: Claimed, status: JobStatus, **values: Any) -> JobStatus | None:
    nothing = dict.fromkeys(("error", "outputs", "receipt", "metrics", "body", "headers"))
    ours = await queries.finish(
        connection,
        job_id=claimed.job_id,
        generation=claimed.generation,
        token=claimed.token,
        status=status,
        **(nothing | values),
    )
    return status if ours else None


async def _give_back(
    connection: Connection, claimed: Claimed, outcome: AttemptOutcome, **values: Any
) -> JobStatus | None:
    nothing = dict.fromkeys(("error", "lane", "delay", "body", "headers"))
    status = await queries.give_back(
        connection, job_id=claimed.job_id, token=claimed.token, outcome=outcome, **(nothing | values)
    )
    return None if status is None else JobStatus(status)


async def _add_detail(
    connection: Connection, claimed: Claimed, detail: Mapping[str, Any], status: JobStatus | None
) -> None:
    """Add to the attempt what only operators see. The attempt must have ended with `status`."""
    if detail and status is not None:
        await queries.add_detail(connection, token=claimed.token, detail=detail)


def _stamped_at(message: RenderMessage) -> datetime | None:
    return message.stamped_at if isinstance(message, v2.Render) else None
