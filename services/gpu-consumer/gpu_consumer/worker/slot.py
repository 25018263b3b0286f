"""A channel that holds one message at a time. With two of them a job renders while the one before is stored."""

import asyncio
import time

from chassis.broker import Broker
from chassis.consuming import Delivery, QueueConsumer
from gpu_consumer.gate import Gate
from gpu_consumer.usage import Usage
from gpu_consumer.waiting import first_of
from gpu_consumer.worker.session import EmptyAnswers

ASK_AGAIN_SECONDS = 10.0
"""How long a subscription waits before the queue is asked again whether it is empty."""


class Slot:
    """Takes one message, and no other until that one is acked, rejected or given back."""

    def __init__(self, broker: Broker, queue: str, usage: Usage, empty_answers: EmptyAnswers) -> None:
        self._consumer = QueueConsumer(broker, queue, prefetch=1)
        self._usage = usage
        self._empty_answers = empty_answers

    async def fetch(self) -> Delivery | None:
        """Return a message that waits, or None when the queue is empty. Raises BrokerUnavailableError.

        Messages that are yet to come are left to the workers that subscribed.
        """
        asked_at = time.monotonic()
        delivery = await self._consumer.get()
        if delivery is None:
            self._empty_answers.note(asked_at)
        return delivery

    async def take(self, gate: Gate) -> Delivery | None:
        """Return the next message, or None when the gate closes first. Raises BrokerUnavailableError.

        A message that waits is fetched: that costs the broker one write to its log; to subscribe and to unsubscribe are
        two, and the GPU waits for them. Only for a message that is yet to come the slot subscribes.
        """
        while True:
            delivery = await self.fetch()
            if delivery is not None:
                return delivery
            if not await self._wait_for_message(gate):
                await self.close()
                return None

    async def close(self) -> None:
        """Give back the message that is held, if any."""
        await self._consumer.close()

    async def _wait_for_message(self, gate: Gate) -> bool:
        """Subscribe until a message arrives, or until it is time to ask again. Return False when the gate closed."""
        async with self._consumer.subscription() as subscription:
            self._usage.subscribed()
            await first_of(subscription.wait(), gate.wait_closed(), asyncio.sleep(ASK_AGAIN_SECONDS))
        return subscription.has_message or gate.is_open
