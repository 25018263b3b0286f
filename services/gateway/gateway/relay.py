"""The relay: publishes the messages of the outbox, many in flight.

A transaction locks a batch of rows, divided fairly between their queues, and deletes those that the broker confirmed.
It waits for the last confirms only as long as others keep arriving. A crash in between publishes messages twice, which
is harmless, and never loses one. A queue that confirms nothing is skipped while its circuit is open.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import ClassVar

import structlog

from chassis.confirms import Answer, Message, Receipt, wait_for_answers
from chassis.errors import BrokerUnavailableError
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from darkroom_contracts.messages import encode_render
from darkroom_contracts.messages.v1 import CONTENT_TYPE
from darkroom_contracts.messages.v2 import Render
from darkroom_contracts.topology import JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, WORK_EXCHANGE
from gateway import metrics
from gateway.circuits import Circuits
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.store import OutboxMessage, OutboxStore

log = structlog.get_logger()

POLL_SECONDS = 1.0
QUIET_SECONDS = 0.25
"""A batch ends when no confirm arrived for this long. Missing confirms are handled when they arrive."""
LONGEST_BATCH_SECONDS = 5.0
"""Time limit of sending and waiting for confirms. The transaction locks rows and holds back vacuum, and Postgres ends
it when it idles for 10 s."""
LATE_SECONDS = 10.0
"""A message that is confirmed later than this after its creation moves its job's `announced_at`."""


class Result(StrEnum):
    """The result of publishing a message: the broker's answer, or why there is none."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNCONFIRMED = "unconfirmed"
    """The answer did not arrive in time."""
    OBSOLETE = "obsolete"
    UNREADABLE = "unreadable"


class Relay(Loop):
    """Woken by each commit of this gateway, and by late confirms; polls for the messages of other processes."""

    name: ClassVar[str] = "relay"
    interval = POLL_SECONDS

    def __init__(
        self,
        database: Database,
        outbox: OutboxStore,
        publishers: Publishers,
        declarer: Declarer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._database = database
        self._outbox = outbox
        self._publishers = publishers
        self._declarer = declarer
        self._circuits = Circuits(clock)
        self._late: list[OutboxMessage] = []

    async def run_once(self) -> bool:
        """Publish a batch. Raises BrokerUnavailableError, with nothing done, while RabbitMQ is away."""
        await self._connect()
        await self._delete_late()
        async with self._database.index_walk() as connection:
            messages = await self._outbox.take(connection, self._circuits.skipped(), self._circuits.probed())
            sorted_out = await self._publish(messages)
            if messages:
                await self._record(connection, sorted_out)
        self._report(messages, sorted_out)
        return _is_full(messages)

    async def _connect(self) -> None:
        """Connect before the transaction begins, which must neither wait for the broker nor postpone messages."""
        try:
            await self._publishers.connect()
        except BrokerUnavailableError:
            metrics.BROKER_UP.set(0)
            raise
        metrics.BROKER_UP.set(1)

    async def _delete_late(self) -> None:
        """Delete messages whose confirms arrived after their batch, unless they were requested again since."""
        if not self._late:
            return
        async with self._database.index_walk() as connection:
            late = list(self._late)
            deleted = await self._outbox.delete_unchanged(connection, late)
            await self._outbox.renew_announcements(connection, [message for message in deleted if _is_late(message)])
        del self._late[: len(late)]

    async def _publish(self, messages: Sequence[OutboxMessage]) -> dict[Result, list[OutboxMessage]]:
        sorted_out: dict[Result, list[OutboxMessage]] = defaultdict(list)
        by_destination: dict[str, list[OutboxMessage]] = defaultdict(list)
        for message in messages:
            if isinstance(message.content, Render):
                by_destination[message.destination].append(message)
            else:
                sorted_out[Result(message.content)].append(message)
        end = time.monotonic() + LONGEST_BATCH_SECONDS
        sent = await asyncio.gather(*(self._send(name, those) for name, those in by_destination.items()))
        receipts = dict(zip(by_destination, sent, strict=True))
        await self._wait(receipts, end - time.monotonic())
        for destination, its_receipts in receipts.items():
            for message, receipt in zip(by_destination[destination], its_receipts, strict=True):
                sorted_out[self._result(message, receipt)].append(message)
            self._judge(destination, its_receipts)
        return sorted_out

    async def _send(self, destination: str, messages: Sequence[OutboxMessage]) -> list[Receipt]:
        try:
            return await self._publishers.send(destination, [_addressed(message) for message in messages])
        except BrokerUnavailableError:
            return [Receipt(Answer.UNKNOWN) for _ in messages]

    async def _wait(self, receipts: Mapping[str, list[Receipt]], at_most_seconds: float) -> None:
        """Wait for each destination's confirms, and for those of probes only if nothing else was sent."""
        probed = self._circuits.probed()
        trusted = [those for destination, those in receipts.items() if destination not in probed]
        awaited = trusted or receipts.values()
        await asyncio.gather(*(wait_for_answers(those, at_most_seconds, QUIET_SECONDS) for those in awaited))

    def _result(self, message: OutboxMessage, receipt: Receipt) -> Result:
        if receipt.answer is None:
            receipt.listen(partial(self._answered_late, message))
            return Result.UNCONFIRMED
        return Result(receipt.answer)

    def _answered_late(self, message: OutboxMessage, receipt: Receipt) -> None:
        if receipt.answer is Answer.CONFIRMED:
            self._late.append(message)
            self._circuits.worked(message.destination)
            self.wake()

    def _judge(self, destination: str, receipts: Sequence[Receipt]) -> None:
        if any(receipt.answer is Answer.CONFIRMED for receipt in receipts):
            self._circuits.worked(destination)
        else:
            self._circuits.failed(destination)

    async def _record(self, connection: Connection, sorted_out: dict[Result, list[OutboxMessage]]) -> None:
        confirmed = sorted_out[Result.CONFIRMED]
        await self._outbox.delete(connection, confirmed + sorted_out[Result.OBSOLETE])
        await self._outbox.renew_announcements(connection, [message for message in confirmed if _is_late(message)])
        await self._outbox.postpone(
            connection,
            sorted_out[Result.RETURNED] + sorted_out[Result.REFUSED] + sorted_out[Result.UNREADABLE],
            seconds=1,
        )
        await self._outbox.postpone(connection, sorted_out[Result.UNKNOWN] + sorted_out[Result.UNCONFIRMED], seconds=2)

    def _report(self, messages: Sequence[OutboxMessage], sorted_out: dict[Result, list[OutboxMessage]]) -> None:
        metrics.RELAY_LAG.set(max((message.waited for message in messages), default=0))
        for result, those in sorted_out.items():
            metrics.PUBLISHES.labels(result).inc(len(those))
            if those and result not in (Result.CONFIRMED, Result.OBSOLETE):
                log.warning("messages not published", result=result, count=len(those), job_id=str(those[0].job_id))
        if sorted_out[Result.RETURNED]:
            self._declarer.require({message.model for message in sorted_out[Result.RETURNED]})


def _addressed(message: OutboxMessage) -> Message:
    assert isinstance(message.content, Render)
    headers = {JOB_ID_HEADER: str(message.job_id), "traceparent": message.content.traceparent}
    exchange = WORK_EXCHANGE
    if message.lane is not None:
        exchange, headers[LANE_HEADER] = RETRY_EXCHANGE, message.lane
    return Message(exchange, message.model, encode_render(message.content), headers, CONTENT_TYPE)


def _is_late(message: OutboxMessage) -> bool:
    return message.age() > LATE_SECONDS


def _is_full(messages: Sequence[OutboxMessage]) -> bool:
    """Return whether a destination used up its share, so that more messages may wait for it."""
    counts: dict[str, int] = defaultdict(int)
    for message in messages:
        counts[message.destination] += 1
    return any(counts[message.destination] >= message.share for message in messages)
