"""The relay: takes messages out of the outbox and publishes them, many in flight.

Messages are deleted once the broker confirmed them, in the transaction that holds them. A crash in between publishes
them twice, which is harmless, and never loses one.
"""

import asyncio
from typing import ClassVar, Literal, TypeAlias

import structlog

from chassis.amqp import BrokerUnavailableError, Publisher, RefusedError, UnroutableError
from chassis.loops import Loop
from chassis.postgres import Database
from contracts.messages.v1 import CONTENT_TYPE, Render, encode
from contracts.topology import JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, WORK_EXCHANGE
from gateway import metrics
from gateway.store import OutboxMessage, OutboxStore
from gateway.topology import Declarer

log = structlog.get_logger()

BATCH = 100
"""Messages in flight. More of them only make each slower, and the transaction that holds them longer."""
POLL_SECONDS = 1.0

Result: TypeAlias = Literal["confirmed", "returned", "refused", "unknown"]


class Relay(Loop):
    """Woken by each commit of this gateway; polls for what others put into the outbox."""

    name: ClassVar[str] = "relay"
    interval = POLL_SECONDS

    def __init__(self, database: Database, outbox: OutboxStore, publisher: Publisher, declarer: Declarer) -> None:
        super().__init__()
        self._database = database
        self._outbox = outbox
        self._publisher = publisher
        self._declarer = declarer

    async def run_once(self) -> bool:
        """Publish a batch. Raises BrokerUnavailableError, having touched nothing, while RabbitMQ is away."""
        await self._connect()
        async with self._database.transaction() as connection:
            messages = await self._outbox.take(connection, BATCH)
            results = await asyncio.gather(*map(self._publish, messages))
            sorted_out = _sort(messages, results)
            await self._outbox.delete(connection, _ids(sorted_out["confirmed"]))
            await self._outbox.postpone(connection, _ids(sorted_out["returned"] + sorted_out["refused"]))
            await self._outbox.recheck(connection, _ids(sorted_out["unknown"]))
        self._report(messages, sorted_out)
        return len(messages) == BATCH

    async def _connect(self) -> None:
        """Look for the broker first: a transaction must not wait for it, nor messages be marked in vain."""
        try:
            await self._publisher.ready()
        except BrokerUnavailableError:
            metrics.BROKER_UP.set(0)
            raise
        metrics.BROKER_UP.set(1)

    async def _publish(self, message: OutboxMessage) -> Result:
        exchange, headers = _route(message)
        body = encode(Render(message.job_id, message.generation, message.model, message.traceparent))
        try:
            await self._publisher.publish(exchange, message.model, body, headers, CONTENT_TYPE)
        except UnroutableError:
            return "returned"
        except RefusedError:
            return "refused"
        except BrokerUnavailableError:
            return "unknown"
        return "confirmed"

    def _report(self, messages: list[OutboxMessage], sorted_out: dict[Result, list[OutboxMessage]]) -> None:
        metrics.RELAY_LAG.set(messages[0].waited if messages else 0)
        for result, those in sorted_out.items():
            metrics.PUBLISHES.labels(result).inc(len(those))
            if those and result != "confirmed":
                log.warning("messages not published", result=result, count=len(those), job_id=str(those[0].job_id))
        if sorted_out["returned"]:
            self._declarer.require({message.model for message in sorted_out["returned"]})


def _route(message: OutboxMessage) -> tuple[str, dict[str, str]]:
    headers = {JOB_ID_HEADER: str(message.job_id), "traceparent": message.traceparent}
    if message.lane is None:
        return WORK_EXCHANGE, headers
    return RETRY_EXCHANGE, {**headers, LANE_HEADER: message.lane}


def _sort(messages: list[OutboxMessage], results: list[Result]) -> dict[Result, list[OutboxMessage]]:
    sorted_out: dict[Result, list[OutboxMessage]] = {"confirmed": [], "returned": [], "refused": [], "unknown": []}
    for message, result in zip(messages, results, strict=True):
        sorted_out[result].append(message)
    return sorted_out


def _ids(messages: list[OutboxMessage]) -> list[int]:
    return [message.id for message in messages]
