"""Confirmed publishes and live events, on a real broker."""

import asyncio
import time

import aio_pika
import pytest

import chassis.broker as broker_module
from chassis import publishing
from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.publishing import Announcer, Publisher
from darkroom_contracts.topology import (
    EVENTS_EXCHANGE,
    LANE_HEADER,
    RETRY_EXCHANGE,
    WORK_EXCHANGE,
    Lanes,
    topology,
    work_queue,
)
from tests.integration.chassis.queues import taken_from
from tests.integration.chassis.wire import wire_to
from tests.support import endpoints
from tests.support.suspension import suspended_queue
from tests.support.waiting import eventually


@pytest.fixture
def publisher(broker: Broker) -> Publisher:
    return Publisher(broker)


async def publish(publisher: Publisher, body: bytes = b"hello", routing_key: str = "tiny") -> None:
    await publisher.publish(WORK_EXCHANGE, routing_key, body, {}, "text/plain")


async def test_a_confirmed_message_is_there_with_all_that_it_carries(broker: Broker, publisher: Publisher) -> None:
    """A published message is persistent, with an id, headers and a type."""
    await publisher.publish(WORK_EXCHANGE, "tiny", b"{}", {"job": "j-1"}, "application/json")
    (message,) = await taken_from(broker, work_queue("tiny"))
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (message.body, message.headers["job"], message.content_type) == (b"{}", "j-1", "application/json")
    assert message.message_id


async def test_a_message_for_a_lane_goes_to_that_lane_alone(broker: Broker, publisher: Publisher) -> None:
    """The lane header selects the lane, and the routing key is kept."""
    lane = Lanes.of((1,)).rungs[0][0]
    await publisher.publish(RETRY_EXCHANGE, "tiny", b"again", {LANE_HEADER: lane.name}, "text/plain")
    assert [message.routing_key for message in await taken_from(broker, lane.queue)] == ["tiny"]


async def test_an_unroutable_publish_raises(publisher: Publisher) -> None:
    """A message without a queue raises UnroutableError."""
    with pytest.raises(UnroutableError, match="no-such-model"):
        await publish(publisher, routing_key="no-such-model")


async def test_of_many_in_flight_only_the_unroutable_raise(broker: Broker, publisher: Publisher) -> None:
    """Concurrent publishes on one channel get their own results."""
    keys = ["tiny" if number % 3 else "no-such-model" for number in range(60)]
    results = await asyncio.gather(
        *(publish(publisher, str(number).encode(), key) for number, key in enumerate(keys)), return_exceptions=True
    )
    assert [isinstance(result, UnroutableError) for result in results] == [key != "tiny" for key in keys]
    assert len(await taken_from(broker, work_queue("tiny"))) == 40


async def test_a_refused_publish_raises(broker: Broker, publisher: Publisher) -> None:
    """A message that a full queue refuses raises RefusedError."""
    channel = await broker.channel()
    await channel.declare_queue("full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await publisher.publish("", "full", b"first", {}, "text/plain")
    with pytest.raises(RefusedError, match="full"):
        await publisher.publish("", "full", b"second", {}, "text/plain")


async def test_a_publish_to_an_exchange_that_is_gone_raises_and_the_next_one_works(
    broker: Broker, publisher: Publisher
) -> None:
    """A missing exchange closes the channel, and the next publish opens a new one."""
    with pytest.raises(BrokerUnavailableError):
        await publisher.publish("no.such.exchange", "tiny", b"lost", {}, "text/plain")
    await publish(publisher)
    assert len(await taken_from(broker, work_queue("tiny"))) == 1


async def test_a_lost_connection_is_opened_again(vhost: str, broker: Broker) -> None:
    """After a lost connection publishes succeed again, without a restart."""
    async with wire_to(vhost) as wire:
        through = Broker(wire.url, "through the wire")
        publisher = Publisher(through)
        await publish(publisher, b"before")
        wire.cut()

        async def published() -> bool:
            try:
                await publish(publisher, b"after")
            except BrokerUnavailableError:
                return False
            return True

        await eventually(published, what="a publish is confirmed again")
        await through.check()
        await through.close()
    bodies = [message.body for message in await taken_from(broker, work_queue("tiny"))]
    assert bodies == [b"before", b"after"]


async def test_a_publish_without_an_answer_ends_in_time(
    vhost: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish that gets no answer ends within its time limit."""
    monkeypatch.setattr(publishing, "PUBLISH_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(broker_module, "CONNECT_TIMEOUT_SECONDS", 0.3)
    async with wire_to(vhost) as wire:
        through = Broker(wire.url, "through the wire")
        publisher = Publisher(through)
        await publish(publisher)
        wire.freeze()
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            await publish(publisher)
        await through.close()
        assert time.monotonic() - started < 5


async def test_a_queue_that_does_not_answer_holds_no_other_up(
    suspendable_rabbitmq: endpoints.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish that gets no answer does not block later publishes to other queues."""
    monkeypatch.setattr(publishing, "PUBLISH_TIMEOUT_SECONDS", 2.0)
    vhost = await suspendable_rabbitmq.create_vhost()
    broker = Broker(vhost, "test")
    await broker.declare(topology(["tiny", "stuck"], Lanes.of((1,))))
    publisher = Publisher(broker)
    async with suspended_queue(suspendable_rabbitmq, vhost, work_queue("stuck")):
        with pytest.raises(BrokerUnavailableError, match="No confirm"):
            await publish(publisher, routing_key="stuck")
        await publish(publisher, b"through")
    assert [message.body for message in await taken_from(broker, work_queue("tiny"))] == [b"through"]
    await broker.close()
    await suspendable_rabbitmq.delete_vhost(vhost)


async def test_an_announcement_nobody_listens_to_is_dropped(broker: Broker) -> None:
    """An event without a listener is dropped, and raises nothing."""
    await Announcer(broker).announce(EVENTS_EXCHANGE, "job.1", b"step", "text/plain")


async def test_an_announcement_reaches_those_who_listen(broker: Broker) -> None:
    """An event reaches its listeners as a transient message."""
    channel = await broker.channel()
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(EVENTS_EXCHANGE, "job.*")
    heard: asyncio.Future[aio_pika.abc.AbstractIncomingMessage] = asyncio.get_running_loop().create_future()

    async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        heard.set_result(message)

    await queue.consume(hear, no_ack=True)
    await Announcer(broker).announce(EVENTS_EXCHANGE, "job.1", b"step", "text/plain")
    async with asyncio.timeout(10):
        message = await heard
    assert (message.body, message.delivery_mode) == (b"step", aio_pika.DeliveryMode.NOT_PERSISTENT)
