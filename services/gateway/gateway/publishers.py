"""Hands messages to the broker, for each destination on a channel of its own.

RabbitMQ stops serving a channel while one of its queues does not answer: at the channel's first publish to the queue,
and whenever 32 are under way. Channels of one connection don't hold each other up, as long as fewer than 200 publishes
wait in each of them (docs/decisions/0026).
"""

from collections.abc import Sequence

from chassis.broker import Broker
from chassis.confirms import Message, Receipt
from chassis.publishing import Publisher

MOST_UNANSWERED = 180
"""Publishes in a channel without an answer, before a fresh channel takes its place."""


class Publishers:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._publishers: dict[str, Publisher] = {}

    async def connect(self) -> None:
        """Connect unless connected. Raises BrokerUnavailableError."""
        await self._broker.connect()

    async def send(self, destination: str, messages: Sequence[Message]) -> list[Receipt]:
        """Send the messages, without waiting for the broker's answers. Raises BrokerUnavailableError."""
        return await self._publisher(destination).send(messages)

    def _publisher(self, destination: str) -> Publisher:
        if destination not in self._publishers:
            self._publishers[destination] = Publisher(self._broker)
        publisher = self._publishers[destination]
        if publisher.unanswered >= MOST_UNANSWERED:
            publisher.renew()
        return publisher
