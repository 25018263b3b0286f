"""A channel that holds one message at a time. Two of them let a job render while its predecessor is stored."""

import asyncio
import time
from collections import deque
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError

from chassis.broker import Broker, close_quietly
from chassis.errors import BrokerUnavailableError
from gpu_consumer.gate import Gate
from gpu_consumer.usage import Usage
from gpu_consumer.waiting import first_of
from gpu_consumer.worker.session import EmptyAnswers

ANSWER_TIMEOUT_SECONDS = 5.0
ASK_AGAIN_SECONDS = 10.0
"""How long a subscription waits before the queue is asked again whether it is empty."""
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

    async def reject(self) -> bool:
        """Send it to the dead letters. After its channel was lost this does nothing, and returns False."""
        try:
            await self._message.reject(requeue=False)
        except _LOST as error:
            log.info("stale reject", error=str(error))
            return False
        return True


class Slot:
    """Takes one message and no other; it stays the channel's own until it is disposed of."""

    def __init__(self, broker: Broker, queue: str, usage: Usage, empty_answers: EmptyAnswers) -> None:
        self._usage = usage
        self._empty_answers = empty_answers
        self._broker = broker
        self._queue = queue
        self._channel: AbstractChannel | None = None
        self._inbox: deque[AbstractIncomingMessage] = deque()
        """What the channel's subscription brought and nobody took yet; one at the most, by the prefetch."""

    async def fetch(self) -> Delivery | None:
        """The next message that waits; None where there is none. Raises BrokerUnavailableError.

        It leaves a message that has yet to come to those who subscribed for one.
        """
        channel = await self._open()
        try:
            return await self._get(await channel.get_queue(self._queue, ensure=False))
        except _LOST as error:
            await self.close()
            raise BrokerUnavailableError(str(error) or type(error).__name__) from error

    async def take(self, gate: Gate) -> Delivery | None:
        """The next message; None when the gate closed first. Raises BrokerUnavailableError.

        One that waits is fetched, which costs the broker one write to its log; subscribing and unsubscribing are two,
        and the GPU waits for them. Subscribed for is what has yet to come.
        """
        channel = await self._open()
        try:
            queue = await channel.get_queue(self._queue, ensure=False)
            delivery = await self._ask_on(channel, queue, gate)
        except _LOST as error:
            await self.close()  # what still came would be held by nobody
            raise BrokerUnavailableError(str(error) or type(error).__name__) from error
        if delivery is not None:
            return delivery
        await self.close()
        if gate.is_open:
            raise BrokerUnavailableError(f"The subscription to {self._queue} was lost.")
        return None

    async def _ask_on(self, channel: AbstractChannel, queue: AbstractQueue, gate: Gate) -> Delivery | None:
        """Ask for a message, then wait for one, by turns: each "empty" proves that earlier messages are not there.

        None when the gate closed or the channel was lost.
        """
        while True:
            waiting = await self._get(queue)
            if waiting is not None:
                return waiting
            if not await self._subscribe_for_a_while(channel, queue, gate):
                return None

    async def _get(self, queue: AbstractQueue) -> Delivery | None:
        if self._inbox:  # one that came as its subscription ended is served first
            return Delivery(self._inbox.popleft())
        asked_at = time.monotonic()
        waiting = await queue.get(fail=False, timeout=ANSWER_TIMEOUT_SECONDS)
        if waiting is None:
            self._empty_answers.note(asked_at)
            return None
        return Delivery(waiting)

    async def _subscribe_for_a_while(self, channel: AbstractChannel, queue: AbstractQueue, gate: Gate) -> bool:
        """Wait for a message in the inbox, or until it is time to ask again; False when there is no use in going on."""
        arrived, revoked, inbox = asyncio.Event(), asyncio.Event(), self._inbox
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks = {lambda _: revoked.set()}

        async def receive(message: AbstractIncomingMessage) -> None:
            inbox.append(message)
            arrived.set()

        tag = await queue.consume(receive, timeout=ANSWER_TIMEOUT_SECONDS)
        self._usage.subscribed()
        time_to_ask = asyncio.sleep(ASK_AGAIN_SECONDS)
        await first_of(arrived.wait(), channel.closed(), revoked.wait(), gate.wait_closed(), time_to_ask)
        if arrived.is_set():
            # No answer is needed: the broker reads it before any ack that follows on this channel.
            await queue.cancel(tag, nowait=True)
            return True
        if channel.is_closed or revoked.is_set() or not gate.is_open:
            return False
        await queue.cancel(tag, timeout=ANSWER_TIMEOUT_SECONDS)
        return True

    async def close(self) -> None:
        """Give back whatever was delivered and not disposed of."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await close_quietly(channel)

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._broker.channel(prefetch=1, confirms=False)
            self._inbox = deque()
        return self._channel
