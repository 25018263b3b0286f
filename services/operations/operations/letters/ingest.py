"""Drain the dead-letter queue into the table `dead_letters`, which operators inspect.

The loop pulls messages instead of subscribing: the queue is nearly always empty, no message stays unacknowledged
between two rounds, and a round that can't reach Postgres takes none.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import structlog

from chassis.broker import Broker
from chassis.consuming import QueueConsumer
from chassis.headers import json_safe
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from chassis.text import storable
from darkroom_contracts.api import JobError
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.messages import RenderMessage, UndecodableMessageError, decode_render, v2
from darkroom_contracts.topology import DEAD_QUEUE, Lanes, topology
from operations.letters import store
from operations.letters.records import Orphan
from operations.metrics import INGESTED
from operations.retention import purge

log = structlog.get_logger()

BATCH = 20
LONGEST_REASON = 1000
X_DEATH = "x-death"


class Ingested(StrEnum):
    """The result of ingesting a message from the dead-letter queue."""

    COMPLETED = "completed"
    """The broker's record was added to the job's dead letter."""
    FAILED = "failed"
    """The message reached the delivery limit, so its job has failed."""
    ORPHANED = "orphaned"
    """The database, restored from a backup, does not know the job. The message is recorded and can be replayed."""
    UNDECODABLE = "undecodable"
    """The message can't be decoded. Its exact bytes are recorded."""
    DROPPED = "dropped"
    """The message adds nothing: its job went on without it, or the same bytes are recorded already."""


class Ingest(Loop):
    """Move messages from the queue to the table, and acknowledge each one after its commit."""

    name = "ingest"
    interval = 1.0

    def __init__(self, database: Database, broker: Broker) -> None:
        super().__init__()
        self._database = database
        self._broker = broker
        self._queue = QueueConsumer(broker, DEAD_QUEUE)
        self._is_declared = False

    async def run_once(self) -> bool:
        """Ingest at most BATCH messages. Raises BrokerUnavailableError and what `Database.transaction` raises."""
        await self._database.check()
        try:
            await self._declare()
            return await self._drain()
        except Exception:
            # The queue may be missing, and a message that was not acknowledged must return to it.
            self._is_declared = False
            await self._queue.close()
            raise

    async def _declare(self) -> None:
        if not self._is_declared:
            await self._broker.declare(topology([], Lanes(())))
            self._is_declared = True

    async def _drain(self) -> bool:
        for _ in range(BATCH):
            delivery = await self._queue.get()
            if delivery is None:
                return False
            result = await ingest(self._database, delivery.body, delivery.headers)
            if await delivery.ack():
                INGESTED.labels(result).inc()
        return True


async def ingest(database: Database, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    """Record a message from the dead-letter queue. Ingesting a redelivered message again changes nothing."""
    try:
        message = decode_render(body)
    except UndecodableMessageError as error:
        return await _record_undecodable(database, error.reason, body, headers)
    result = await _record(database, message, body, headers)
    log.info("dead message ingested", result=result, job_id=str(message.job_id), generation=message.generation)
    return result


async def _record(database: Database, message: RenderMessage, body: bytes, headers: Mapping[str, Any]) -> Ingested:
    job = message.job_id, message.generation
    safe = _recordable(headers)
    async with database.transaction() as connection:
        undeliverable = _latest_death(headers) == JobErrorCode.DELIVERY_LIMIT
        if undeliverable and await store.fail_undeliverable(connection, *job, _UNDELIVERABLE, body, safe):
            await store.attach_x_death(connection, *job, safe.get(X_DEATH))
            return Ingested.FAILED
        if await store.attach_x_death(connection, *job, safe.get(X_DEATH)):
            return Ingested.COMPLETED
        return await _record_orphan(connection, message, body, safe)


async def _record_orphan(
    connection: Connection, message: RenderMessage, body: bytes, headers: Mapping[str, Any]
) -> Ingested:
    """Record the message if its job is unknown and was not purged."""
    if not await store.is_unknown(connection, message.job_id):
        return Ingested.DROPPED
    await purge.hold(connection)
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
    message = storable(reason)[:LONGEST_REASON]
    error = JobError(JobErrorCode.UNDECODABLE, message, retryable=False, stage=Stage.DELIVERY)
    safe = _recordable(headers)
    async with database.transaction() as connection:
        recorded = await store.insert_undecodable(connection, error, body, safe, safe.get(X_DEATH))
    log.warning("undecodable message ingested", reason=message, bytes=len(body), new=recorded)
    return Ingested.UNDECODABLE if recorded else Ingested.DROPPED


def _recordable(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers as JSON. Headers that JSON can't hold must not stop the ingest."""
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
    "The job of the message is not in the database, which was restored from an older backup.",
    retryable=False,
    stage=Stage.DELIVERY,
)
_UNDELIVERABLE = JobError(
    JobErrorCode.DELIVERY_LIMIT,
    "The broker reached the delivery limit of the job's message.",
    retryable=False,
    stage=Stage.DELIVERY,
)
