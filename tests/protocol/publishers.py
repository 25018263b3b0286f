"""What carries the relay's messages to the modelled broker."""

from collections.abc import Sequence

from chassis.confirms import Answer, Receipt
from chassis.confirms import Message as PublishedMessage
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from tests.protocol.broker import Broker


class DiedError(BaseException):
    """A process died here."""


class AnsweringPublishers:
    """Stands in for `gateway.publishers.Publishers`: every publish has its answer at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def connect(self) -> None:
        """Connect: the broker is available."""

    async def send(self, destination: str, messages: Sequence[PublishedMessage]) -> list[Receipt]:
        return [Receipt(await self._publish(message)) for message in messages]

    async def _publish(self, message: PublishedMessage) -> Answer:
        try:
            await self._broker.publish(
                message.exchange, message.routing_key, message.body, message.headers, message.content_type
            )
        except UnroutableError:
            return Answer.RETURNED
        except RefusedError:
            return Answer.REFUSED
        except BrokerUnavailableError:
            return Answer.UNKNOWN
        return Answer.CONFIRMED


class DyingPublishers(AnsweringPublishers):
    """Its process dies when the messages were published."""

    async def send(self, destination: str, messages: Sequence[PublishedMessage]) -> list[Receipt]:
        await super().send(destination, messages)
        raise DiedError
