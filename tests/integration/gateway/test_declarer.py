"""The declarer: missing queues are declared."""

import aio_pika
import pytest

from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError
from darkroom_contracts.topology import Lanes, work_queue
from gateway.declarer import Declarer
from tests.support.queues import Queues

MODEL = "tiny"
QUEUE = work_queue(MODEL)
LANES = Lanes.of((1, 2, 3))


async def test_the_topology_is_declared_once_the_broker_is_back(broker: Broker, vhost: str) -> None:
    """A failed declaration is repeated, and a successful one is not."""
    declarer = Declarer(Broker("amqp://127.0.0.1:1/", "test"), [MODEL], LANES)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            await declarer.run_once()
    declarer = Declarer(broker, [MODEL], LANES)
    await declarer.run_once()
    assert await Queues(vhost).waiting(QUEUE) == 0
    await broker.close()
    async with Queues(vhost).channel() as channel:
        await channel.queue_delete(QUEUE)
    await declarer.run_once()
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await Queues(vhost).waiting(QUEUE)
    declarer.require([MODEL])
    await declarer.run_once()
    assert await Queues(vhost).waiting(QUEUE) == 0
