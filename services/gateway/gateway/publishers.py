"""Publishers, one per destination, each on a channel of its own.

RabbitMQ stops reading from a channel while one of its queues does not answer: at the channel's first publish to the
queue, and whenever 32 publishes are unconfirmed. The other channels of the connection are not affected as long as each
has fewer than 200 unconfirmed publishes (docs/decisions/0026).
"""

from collections.abc import Sequence

from chassis.broker import Broker
from chassis.confirms import Message, Receipt
from chassis.publishing import Publisher

MOST_UNANSWERED = 180
"""Publishes without an answer at which a channel is replaced."""


class Publishers:
    """A publisher per destination."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._publishers: dict[str, Publisher] = {}

    async def connect(self) -> None:
        """Connect unless connected. Raises BrokerUnavailableError."""
        await self._broker.connect()

    async def send(self, destination: str, messages: Sequence[Message]) -> list[Receipt]:
        """Send the messages without waiting for the broker's answers. Raises BrokerUnavailableError."""
        return await self._publisher(destination).send(messages)

    def _publisher(self, destination: str) -> Publisher:
        if destination not in self._publishers:
            self._publishers[destination] = Publisher(self._broker)
        publisher = self._publishers[destination]
        if publisher.unanswered >= MOST_UNANSWERED:
            publisher.renew()
        return publisher
