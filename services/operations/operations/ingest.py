"""Drains the dead-letter queue into the table `dead_letters`, which is what operators look at.

The queue is pulled from rather than subscribed to. It is nearly always empty, nothing is held unacked between two
rounds, and a round that can't reach Postgres takes nothing.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractQueue

from chassis.amqp import Broker, close_quietly
from chassis.headers import json_safe
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from darkroom_contracts.api import JobError
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages import RenderMessage, UndecodableMessageError, decode_render, v2
from darkroom_contracts.topology import DEAD_QUEUE, Lanes, topology
from operations import store
from operations.metrics import INGESTED
from operations.records import Orphan

log = structlog.get_logger()

BATCH = 20
PULL_TIMEOUT_SECONDS = 5.0
LONGEST_REASON = 1000
STAGE = "delivery"
X_DEATH = "x-death"


class Ingested(StrEnum):
    """What became of a message from the dead-letter queue."""

    COMPLETED = "completed"
    """It belongs to a dead letter, which now has the broker's record too."""
    FAILED = "failed"
    """The broker gave up delivering it; its job is dead."""
    ORPHANED = "orphaned"
    """Its job is unknown, since the database was restored from a backup; it is recorded, and can be replayed."""
    UNDECODABLE = "undecodable"
    """It can't be read; it is recorded with its exact bytes."""
    DROPPED = "dropped"
    """It says nothing new: its job went on without it, or its bytes are recorded already."""


class Ingest(Loop):
    """Moves messages from the queue to the table: each is committed, then acked."""

    name = "ingest"
    interval = 1.0

    def __init__(self, database: Database, broker: Broker) -> None:
        super().__init__()
        self._database = database
        self._broker = broker
        self._channel: AbstractChannel | None = None

    async def run_once(self) -> bool:
        await self._database.check()
        try:
            return await self._drain(await self._queue())
        except Exception:
            # Closing the channel gives back what was pulled and not acked.
            if self._channel:
                await close_quietly(self._channel)
            raise

    async def _queue(self) -> AbstractQueue:
        if self._channel is None or self._channel.is_closed:
            await self._broker.declare(topology([], Lanes(())))
            self._channel = await self._broker.channel()
        return await self._channel.get_queue(DEAD_QUEUE, ensure=False)

    async def _drain(self, queue: AbstractQueue) -> bool:
        for _ in range(BATCH):
            message = await queue.get(fail=False, timeout=PULL_TIMEOUT_SECONDS)
            if message is None:
                return False
            result = await ingest(self._database, message.body, message.headers)
            await message.ack()
            INGESTED.labels(result).inc()
        return True


async def ingest(database: Database, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    """Record a dead message. Doing it again for a message that comes twice changes nothing."""
    try:
        message = decode_render(body)
    except UndecodableMessageError as error:
        return await _record_undecodable(database, error.reason, body, headers)
    result = await _bury(database, message, body, headers)
    log.info("dead message", result=result, job_id=str(message.job_id), generation=message.generation)
    return result


async def _bury(database: Database, message: RenderMessage, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    job = message.job_id, message.generation
    safe = _recordable(headers)
    async with database.transaction() as connection:
        undeliverable = _latest_death(headers) == JobErrorCode.DELIVERY_LIMIT
        if undeliverable and await store.fail_undeliverable(connection, *job, _GAVE_UP, body, safe):
            await store.attach_x_death(connection, *job, safe.get(X_DEATH))
            return Ingested.FAILED
        if await store.attach_x_death(connection, *job, safe.get(X_DEATH)):
            return Ingested.COMPLETED
        return await _record_orphan(connection, message, body, safe)


async def _record_orphan(
    connection: Connection, message: RenderMessage, body: bytes, headers: Mapping[str, Any]
) -> Ingested:
    """Keep a message whose job is unknown, unless that was purged."""
    if not await store.is_unknown(connection, message.job_id):
        return Ingested.DROPPED
    await store.hold_purge(connection)
    orphan = Orphan(
        job_id=message.job_id,
        tenant_id=message.tenant_id if isinstance(message, v2.Render) else None,
        generation=message.generation,
        model=message.model,
        error=_UNKNOWN_JOB,
        body=body,
        headers=headers,
        x_death=headers.get(X_DEATH),
    )
    return Ingested.ORPHANED if await store.insert_orphan(connection, orphan) else Ingested.DROPPED


async def _record_undecodable(database: Database, reason: str, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    # The reason quotes the message, and Postgres takes no NUL.
    message = reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:LONGEST_REASON]
    error = JobError(JobErrorCode.UNDECODABLE, message, retryable=False, stage=STAGE)
    safe = _recordable(headers)
    async with database.transaction() as connection:
        recorded = await store.insert_undecodable(connection, error, body, safe, safe.get(X_DEATH))
    log.warning("undecodable message", reason=message, bytes=len(body), new=recorded)
    return Ingested.UNDECODABLE if recorded else Ingested.DROPPED


def _recordable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers as JSON. No message may stop the ingest, whatever it carries."""
    try:
        safe: dict[str, Any] = json_safe(headers)
    except RecursionError:
        return {"$unreadable": "nested too deeply"}
    return safe


def _latest_death(headers: Mapping[str, Any]) -> str | None:
    match headers.get(X_DEATH):
        case [{"reason": str(reason)}, *_]:
            return reason
    return None


_UNKNOWN_JOB = JobError(
    JobErrorCode.ORPHAN,
    "This database does not know the message's job: it was restored from a backup that is older than the job.",
    retryable=False,
    stage=STAGE,
)
_GAVE_UP = JobError(
    JobErrorCode.DELIVERY_LIMIT,
    "The broker gave up after delivering the job's message too often.",
    retryable=False,
    stage=STAGE,
)
