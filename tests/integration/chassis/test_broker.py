"""The connection to a real broker, and its topology."""

import asyncio

import aio_pika
import pytest

from chassis.broker import Broker, open_channel
from chassis.errors import BrokerUnavailableError
from chassis.publishing import Publisher
from darkroom_contracts.topology import DEAD_QUEUE, WORK_EXCHANGE, Lanes, topology, work_queue
from tests.integration.chassis.queues import taken_from
from tests.integration.chassis.wire import wire_to
from tests.support.waiting import eventually

TOPOLOGY = topology(["tiny"], Lanes.of((1,)))


async def publish(broker: Broker) -> None:
    await Publisher(broker).publish(WORK_EXCHANGE, "tiny", b"hello", {}, "text/plain")


async def test_declaring_again_changes_nothing(broker: Broker) -> None:
    """Declaring an existing topology keeps the queues and their messages."""
    await publish(broker)
    await broker.declare(TOPOLOGY)
    assert [message.body for message in await taken_from(broker, work_queue("tiny"))] == [b"hello"]


async def test_two_may_declare_at_once(vhost: str) -> None:
    """Several processes may declare the same topology at once."""
    brokers = [Broker(vhost, f"test-{number}") for number in range(3)]
    await asyncio.gather(*(broker.declare(TOPOLOGY) for broker in brokers))
    assert await taken_from(brokers[0], DEAD_QUEUE) == []
    await asyncio.gather(*(broker.close() for broker in brokers))


async def test_a_broker_that_is_not_there_is_unavailable() -> None:
    """Every call on a broker that can't be reached raises BrokerUnavailableError."""
    broker = Broker("amqp://guest:guest@127.0.0.1:1/", "test")
    for call in (broker.check(), broker.declare(TOPOLOGY), publish(broker), broker.connect()):
        with pytest.raises(BrokerUnavailableError):
            await call


async def test_a_channel_of_a_connection_that_we_closed_is_unavailable(vhost: str) -> None:
    """The RuntimeError that aio-pika raises for a closed connection is translated where a channel is opened."""
    connection = await aio_pika.connect(vhost)
    await connection.close()
    with pytest.raises(BrokerUnavailableError, match="closed"):
        await open_channel(connection, confirms=True)


async def test_a_channel_of_a_connection_that_was_lost_is_unavailable(vhost: str) -> None:
    """The RuntimeError that aiormq raises for a lost connection is translated where a channel is opened."""
    async with wire_to(vhost) as wire:
        connection = await aio_pika.connect(wire.url)
        wire.cut()
        await eventually(lambda: not connection.connected.is_set(), what="the loss is noticed")
        with pytest.raises(BrokerUnavailableError, match="closed"):
            await open_channel(connection, confirms=True)


class MistakenTopology:
    """A topology with a bug."""

    @property
    def exchanges(self) -> tuple[()]:
        raise RuntimeError("a mistake of ours")


async def test_a_mistake_of_ours_is_no_outage(broker: Broker) -> None:
    """A RuntimeError of our own during a call is not translated, and the connection stays usable."""
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        await broker.declare(MistakenTopology())  # type: ignore[arg-type]
    await broker.check()
