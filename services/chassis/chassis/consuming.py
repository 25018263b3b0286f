"""Consumers: of queues, with acknowledgements, and of live events, without them.

An unacknowledged message returns to its queue when its channel is closed or lost. aio-pika cancels the tasks of its
callbacks then, so a caller should process messages in tasks of its own: these go on, and only the ack fails.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from chassis.broker import Broker, close_quietly, translated_errors
from chassis.errors import BrokerUnavailableError

ANSWER_TIMEOUT_SECONDS = 5.0
QUIET_SECONDS = 0.02
"""After this time without a message a queue is taken to be empty."""

log = structlog.get_logger()


class Delivery:
    """A delivered message that is not acknowledged yet."""

    def __init__(
        self,
        body: bytes,
        headers: Mapping[str, Any],
        ack: Callable[..., Awaitable[None]],
        reject: Callable[[], Awaitable[None]],
    ) -> None:
        self.body = body
        self.headers = headers
        self._ack = ack
        self._reject = reject

    async def ack(self) -> bool:
        """Acknowledge the message. Return False if its channel is lost: the broker delivers the message again."""
        return await self._send("ack", self._ack)

    async def ack_all(self) -> bool:
        """Acknowledge the message and all before it on its channel. Return False if the channel is lost."""
        return await self._send("ack", lambda: self._ack(multiple=True))

    async def reject(self) -> bool:
        """Dead-letter the message. Return False if its channel is lost: the broker delivers the message again."""
        return await self._send("reject", self._reject)

    async def _send(self, kind: str, acknowledge: Callable[[], Awaitable[None]]) -> bool:
        try:
            with translated_errors():
                await acknowledge()
        except BrokerUnavailableError as error:
            log.info("acknowledgement lost with its channel", kind=kind, error=str(error))
            return False
        return True


class Subscription:
    """A consumer that is registered with the broker while its context lasts."""

    def __init__(self) -> None:
        self.has_message = False
        """Whether a message arrived. `QueueConsumer.get` returns it."""
        self.is_lost = False
        """Whether the channel was closed, or the broker canceled the consumer."""
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        """Wait until a message arrives or the subscription is lost."""
        await self._changed.wait()

    async def another(self, seconds: float) -> bool:
        """Wait for the next message, at most `seconds`. Return whether one arrived, or the subscription is lost."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return not self.is_lost

    def arrive(self) -> None:
        """Record that a message arrived."""
        self.has_message = True
        self._changed.set()

    def lose(self, *_: object) -> None:
        """Record that the subscription is lost."""
        self.is_lost = True
        self._changed.set()


class QueueConsumer:
    """A consumer of one queue, on a channel of its own that is opened on first use, and again after a loss."""

    def __init__(self, broker: Broker, queue: str, *, prefetch: int | None = None) -> None:
        """Consume from `queue`; `prefetch` limits the unacknowledged messages of subscriptions."""
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._channel: AbstractChannel | None = None
        self._inbox: deque[Delivery] = deque()
        """Messages that subscriptions received and `get` has not returned yet."""

    async def get(self) -> Delivery | None:
        """Return a waiting message, or None if the queue is empty. Raises BrokerUnavailableError.

        A message that a subscription received is returned first, without a request to the broker.
        """
        queue = await self._opened()
        if self._inbox:
            return self._inbox.popleft()
        async with self._closed_on_error():
            message = await queue.get(fail=False, timeout=ANSWER_TIMEOUT_SECONDS)
        return None if message is None else _delivery(message)

    async def take(self, at_most: int) -> list[Delivery]:
        """Return messages that wait, about `at_most`: none if the queue is empty. Raises BrokerUnavailableError.

        They are pushed by the broker, which is several times faster than asking for each. The call ends when the
        prefetch is used up or none came for a moment, and leaves none behind.
        """
        first = await self.get()
        if first is None or at_most == 1:
            return [] if first is None else [first]
        queue, subscription = await self._opened(), Subscription()
        async with self._closed_on_error():
            tag = await self._subscribe(queue, subscription)
            while len(self._inbox) < at_most - 1 and await subscription.another(QUIET_SECONDS):
                pass
            await queue.cancel(tag, timeout=ANSWER_TIMEOUT_SECONDS)  # after the answer nothing more arrives
        taken = [first, *self._inbox]
        self._inbox.clear()
        return taken

    @asynccontextmanager
    async def subscription(self) -> AsyncIterator[Subscription]:
        """Subscribe to the queue while the context lasts. `get` returns the messages that are received.

        Raises BrokerUnavailableError when it is entered, and when it is left after the subscription was lost.
        """
        queue, subscription = await self._opened(), Subscription()
        async with self._closed_on_error():
            tag = await self._subscribe(queue, subscription)
        try:
            yield subscription
        except BaseException:
            await self.close()
            raise
        async with self._closed_on_error():
            await self._unsubscribe(queue, tag, subscription)

    async def close(self) -> None:
        """Close the channel: unacknowledged messages return to the queue. The next call opens a new channel."""
        channel, self._channel = self._channel, None
        self._inbox.clear()
        if channel is not None:
            await close_quietly(channel)

    async def _opened(self) -> AbstractQueue:
        if self._channel is None or self._channel.is_closed:
            self._inbox.clear()
            self._channel = await self._broker.channel(prefetch=self._prefetch, confirms=False)
        return await self._channel.get_queue(self._queue, ensure=False)

    async def _subscribe(self, queue: AbstractQueue, subscription: Subscription) -> str:
        inbox = self._inbox

        async def receive(message: AbstractIncomingMessage) -> None:
            inbox.append(_delivery(message))
            subscription.arrive()

        queue.channel.close_callbacks.add(subscription.lose)
        underlay = await queue.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks = {subscription.lose}
        return await queue.consume(receive, timeout=ANSWER_TIMEOUT_SECONDS)

    async def _unsubscribe(self, queue: AbstractQueue, tag: str, subscription: Subscription) -> None:
        queue.channel.close_callbacks.discard(subscription.lose)
        if subscription.has_message:
            # No answer is needed: the broker handles this before any later ack on the channel.
            await queue.cancel(tag, nowait=True)
        elif subscription.is_lost or queue.channel.is_closed:
            raise BrokerUnavailableError(f"The subscription to {self._queue} was lost.")
        else:
            await queue.cancel(tag, timeout=ANSWER_TIMEOUT_SECONDS)

    @asynccontextmanager
    async def _closed_on_error(self) -> AsyncIterator[None]:
        """Close the channel when a call fails, so that messages it still receives return to the queue."""
        try:
            with translated_errors():
                yield
        except BaseException:
            await self.close()
            raise


class TopicListener:
    """A consumer of live events, with a server-named, exclusive, bounded queue and without acknowledgements."""

    def __init__(self, broker: Broker, exchange: str, receive: Callable[[bytes], None], *, queue_length: int) -> None:
        """Call `receive` with the body of each event. Beyond `queue_length` waiting events the oldest are dropped."""
        self._broker = broker
        self._exchange = exchange
        self._receive = receive
        self._queue_length = queue_length
        self._channel: AbstractChannel | None = None
        self._subscription = Subscription()

    @property
    def is_listening(self) -> bool:
        return self._channel is not None and not self._channel.is_closed and not self._subscription.is_lost

    async def listen(self, topics: Iterable[str]) -> None:
        """Subscribe to topics, which may have wildcards. Raises BrokerUnavailableError."""
        if self._channel is not None:
            await close_quietly(self._channel)  # open if the broker canceled only its consumer
        channel = await self._broker.channel(confirms=False)
        try:
            with translated_errors():
                async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                    await self._subscribe(channel, topics)
        except BaseException:
            await close_quietly(channel)
            raise
        self._channel = channel

    async def _subscribe(self, channel: AbstractChannel, topics: Iterable[str]) -> None:
        self._subscription = Subscription()
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks = {self._subscription.lose}
        queue = await channel.declare_queue(
            exclusive=True, auto_delete=True, arguments={"x-queue-type": "classic", "x-max-length": self._queue_length}
        )
        for topic in topics:
            await queue.bind(self._exchange, topic)

        async def receive(message: AbstractIncomingMessage) -> None:
            self._receive(message.body)

        await queue.consume(receive, no_ack=True)


def _delivery(message: AbstractIncomingMessage) -> Delivery:
    return Delivery(message.body, dict(message.headers), message.ack, message.reject)
