"""The depths of RabbitMQ's queues as their declaration answers them."""

from collections.abc import Sequence

from chassis.broker import Broker
from operations.queues.records import Depth


class DeclaredDepths:
    """Asks over AMQP, which knows the messages that wait.

    A queue whose leader does not answer says 0 (docs/operating.md, "A queue without a leader").
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def read(self, queues: Sequence[str]) -> dict[str, Depth]:
        """Return the depths of those queues that exist. Raises BrokerUnavailableError."""
        counts = await self._broker.count_messages(queues)
        return {name: Depth(ready=count) for name, count in counts.items()}
