"""A channel that holds one message at a time. Two of them let a job render while its predecessor is stored."""

import asyncio
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError

from chassis.amqp import Broker, BrokerUnavailableError, close_quietly
from gpu_consumer.gate import Gate
from gpu_consumer.usage import Usage
from gpu_consumer.waiting import first_of

ANSWER_TIMEOUT_SECONDS = 5.0
_LOST = (AMQPError, ConnectionError, OSError, RuntimeError, TimeoutError)

log = structlog.get_logger()


class Delivery:
    """A message that was delivered and not yet disposed of."""

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def headers(self) -> dict[str, Any]:
        return dict(self._message.headers)

    async def ack(self) -> None:
        """Be done with it. After its channel was lost this does nothing: the copy that comes finds the job's row."""
        try:
            await self._message.ack()
        except _LOST as error:
            log.info("stale ack", error=str(error))

    async def reject(self) -> None:
        """Send it to the dead letters. After its channel was lost this does nothing."""
        try:
            await self._message.reject(requeue=False)
        except _LOST as error:
            log.info("stale reject", error=str(error))


class Slot:
    """Takes one message and no other; it stays the channel's own until it is disposed of."""

    def __init__(self, broker: Broker, queue: str, usage: Usage) -> None:
        self._usage = usage
        self._broker = broker
        self._queue = queue
        self._channel: AbstractChannel | None = None

    async def take(self, gate: Gate) -> Delivery | None:
        """The next message; None when the gate closed first. Raises BrokerUnavailableError.

        One that waits is fetched, which costs the broker one write to its log; subscribing and unsubscribing are two,
        and the GPU waits for them. Subscribed for is what has yet to come.
        """
        channel = await self._open()
        try:
            queue = await channel.get_queue(self._queue, ensure=False)
            waiting = await queue.get(fail=False, timeout=ANSWER_TIMEOUT_SECONDS)
            delivery = Delivery(waiting) if waiting else await self._await_next(channel, queue, gate)
        except _LOST as error:
            await self.close()  # what still came would be held by nobody
            raise BrokerUnavailableError(str(error) or type(error).__name__) from error
        if delivery is not None:
            return delivery
        await self.close()
        if gate.is_open:
            raise BrokerUnavailableError(f"The subscription to {self._queue} was lost.")
        return None

    async def _await_next(self, channel: AbstractChannel, queue: AbstractQueue, gate: Gate) -> Delivery | None:
        """Subscribe for one message; None when the gate closed or the subscription ended first."""
        inbox: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()
        revoked = asyncio.Event()
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks = {lambda _: revoked.set()}

        async def receive(message: AbstractIncomingMessage) -> None:
            inbox.set_result(message)

        tag = await queue.consume(receive, timeout=ANSWER_TIMEOUT_SECONDS)
        self._usage.subscribed()
        await first_of(inbox, channel.closed(), revoked.wait(), gate.wait_closed())
        if not inbox.done():
            return None
        # No answer is needed: the broker reads it before any ack that follows on this channel.
        await queue.cancel(tag, nowait=True)
        return Delivery(inbox.result())

    async def close(self) -> None:
        """Give back whatever was delivered and not disposed of."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await close_quietly(channel)

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._broker.channel(prefetch=1, confirms=False)
        return self._channel
