"""Consumers on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from aio_pika.exceptions import MessageProcessError

from chassis.broker import Broker
from chassis.consuming import Delivery, QueueConsumer, Subscription, TopicListener
from chassis.errors import BrokerUnavailableError
from chassis.publishing import Announcer, Publisher
from darkroom_contracts.topology import DEAD_QUEUE, EVENTS_EXCHANGE, WORK_EXCHANGE, work_queue
from tests.integration.chassis.wire import Wire, wire_to
from tests.support.services import Services
from tests.support.waiting import eventually

QUEUE = work_queue("tiny")
SECONDS = 10.0


@pytest.fixture
def consumer(broker: Broker) -> QueueConsumer:
    return QueueConsumer(broker, QUEUE, prefetch=1)


@pytest.fixture
async def wire(vhost: str, broker: Broker) -> AsyncIterator[Wire]:
    """Return a wire to a broker with the topology."""
    async with wire_to(vhost) as wire:
        yield wire


@pytest.fixture
async def fragile(wire: Wire) -> AsyncIterator[QueueConsumer]:
    """Return a consumer that is connected through the wire."""
    through = Broker(wire.url, "through the wire")
    yield QueueConsumer(through, QUEUE, prefetch=1)
    await through.close()


async def publish(broker: Broker, *bodies: bytes) -> None:
    publisher = Publisher(broker)
    for body in bodies:
        await publisher.publish(WORK_EXCHANGE, "tiny", body, {}, "text/plain")


async def given_back(broker: Broker, queue: str = QUEUE) -> Delivery:
    """Wait for a message in a queue, and return it."""
    consumer, found = QueueConsumer(broker, queue), list[Delivery]()

    async def comes() -> bool:
        found.extend(filter(None, [await consumer.get()]))
        return bool(found)

    await eventually(comes, what="the message comes again")
    return found[0]


async def subscribe(consumer: QueueConsumer, act: Callable[[], Awaitable[object]]) -> Subscription:
    """Subscribe, act, and wait until a message arrived or the subscription is lost."""
    async with consumer.subscription() as subscription, asyncio.timeout(SECONDS):
        await act()
        await subscription.wait()
    return subscription


def cut(wire: Wire) -> Callable[[], Awaitable[None]]:
    async def act() -> None:
        wire.cut()

    return act


async def taken(consumer: QueueConsumer) -> Delivery:
    delivery = await consumer.get()
    assert delivery is not None
    return delivery


async def test_messages_are_taken_one_by_one_until_the_queue_is_empty(broker: Broker, consumer: QueueConsumer) -> None:
    """Messages are returned in order, without an acknowledgement in between, and None at the end."""
    await publish(broker, b"1", b"2")
    first, second = await taken(consumer), await taken(consumer)
    assert (first.body, second.body) == (b"1", b"2")
    assert await consumer.get() is None


async def test_headers_are_plain_values(broker: Broker, consumer: QueueConsumer) -> None:
    """Headers are returned as strings, numbers, times, lists and dictionaries."""
    headers = {
        "text": "ü",
        "number": 7,
        "fraction": Decimal("1.5"),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "list": ["a", {"key": 1}],
    }
    await Publisher(broker).publish(WORK_EXCHANGE, "tiny", b"", headers, "text/plain")
    received = (await taken(consumer)).headers
    assert {name: received[name] for name in headers} == headers


async def test_an_acknowledged_message_is_gone(broker: Broker, consumer: QueueConsumer) -> None:
    """An acknowledged message is not delivered again when its channel closes."""
    await publish(broker, b"1")
    assert await (await taken(consumer)).ack()
    await consumer.close()
    assert await consumer.get() is None


async def test_a_rejected_message_is_a_dead_letter(broker: Broker, consumer: QueueConsumer) -> None:
    """A rejected message moves to the dead-letter queue."""
    await publish(broker, b"1")
    assert await (await taken(consumer)).reject()
    assert (await given_back(broker, DEAD_QUEUE)).body == b"1"
    assert await consumer.get() is None


async def test_closing_gives_back_what_was_not_acknowledged(broker: Broker, consumer: QueueConsumer) -> None:
    """Unacknowledged messages return to the queue when the consumer is closed, and it stays usable."""
    await publish(broker, b"1")
    await taken(consumer)
    await consumer.close()
    assert (await given_back(broker)).body == b"1"
    assert await consumer.get() is None


async def test_a_message_is_acknowledged_once(broker: Broker, consumer: QueueConsumer) -> None:
    """A second acknowledgement is a bug of the caller and raises an error."""
    await publish(broker, b"1")
    delivery = await taken(consumer)
    await delivery.ack()
    with pytest.raises(MessageProcessError):
        await delivery.ack()


@pytest.mark.parametrize("how", ["ack", "reject"])
async def test_a_message_of_a_lost_channel_can_not_be_disposed_of(
    how: str, broker: Broker, consumer: QueueConsumer
) -> None:
    """An acknowledgement on a lost channel returns False, and the message is delivered again."""
    await publish(broker, b"1")
    delivery = await taken(consumer)
    await consumer.close()
    assert await getattr(delivery, how)() is False
    await given_back(broker)


async def test_a_subscription_brings_the_message_that_is_yet_to_come(broker: Broker, consumer: QueueConsumer) -> None:
    """A subscription receives as many messages as the prefetch allows, and leaves the rest in the queue."""
    assert await consumer.get() is None
    subscription = await subscribe(consumer, partial(publish, broker, b"1", b"2"))
    assert subscription.has_message
    delivery = await taken(consumer)
    assert delivery.body == b"1"
    assert (await taken(QueueConsumer(broker, QUEUE))).body == b"2"


async def test_a_subscription_that_ends_takes_no_more(broker: Broker, consumer: QueueConsumer) -> None:
    """Messages that arrive after the end of a subscription stay in the queue."""
    async with consumer.subscription() as subscription:
        pass
    await publish(broker, b"1")
    assert not subscription.has_message
    assert (await taken(QueueConsumer(broker, QUEUE))).body == b"1"


async def test_a_consumer_can_subscribe_again_and_again(broker: Broker, consumer: QueueConsumer) -> None:
    """A consumer may subscribe repeatedly on one channel."""
    for body in (b"1", b"2", b"3"):
        await subscribe(consumer, partial(publish, broker, body))
        delivery = await taken(consumer)
        assert delivery.body == body
        assert await delivery.ack()


async def test_a_subscription_whose_body_fails_gives_its_messages_back(broker: Broker, consumer: QueueConsumer) -> None:
    """When the context raises, its error is not translated and its messages return to the queue."""

    async def fail() -> None:
        await publish(broker, b"1")
        raise RuntimeError("our own")

    with pytest.raises(RuntimeError, match="our own"):
        await subscribe(consumer, fail)
    await given_back(broker)


async def test_a_subscription_that_the_broker_ends_is_lost(broker: Broker, consumer: QueueConsumer) -> None:
    """A subscription is lost when its queue is deleted."""
    channel = await broker.channel()
    with pytest.raises(BrokerUnavailableError, match="lost"):
        await subscribe(consumer, partial(channel.queue_delete, QUEUE))


async def test_a_subscription_is_lost_with_its_connection(wire: Wire, broker: Broker, fragile: QueueConsumer) -> None:
    """A subscription is lost with its connection, and the consumer connects again."""
    with pytest.raises(BrokerUnavailableError):
        await subscribe(fragile, cut(wire))
    await publish(broker, b"1")
    assert (await taken(fragile)).body == b"1"


async def test_a_delivery_is_stale_after_its_connection_was_lost(
    wire: Wire, broker: Broker, fragile: QueueConsumer
) -> None:
    """An unacknowledged message is delivered again after its connection was lost."""
    await publish(broker, b"1")
    delivery = await taken(fragile)
    with pytest.raises(BrokerUnavailableError):
        await subscribe(fragile, cut(wire))
    assert await delivery.ack() is False
    await given_back(broker)


async def test_a_queue_that_does_not_exist_is_unavailable(broker: Broker) -> None:
    """A missing queue raises BrokerUnavailableError until it is declared."""
    consumer = QueueConsumer(broker, "late")
    with pytest.raises(BrokerUnavailableError, match="no queue 'late'"):
        await consumer.get()
    await (await broker.channel()).declare_queue("late", durable=True)
    assert await consumer.get() is None


async def test_a_broker_that_is_not_there_is_unavailable_to_consumers() -> None:
    """Every call on a broker that can't be reached raises BrokerUnavailableError."""
    away = Broker("amqp://guest:guest@127.0.0.1:1/", "test")
    consumer = QueueConsumer(away, QUEUE)
    with pytest.raises(BrokerUnavailableError):
        await consumer.get()
    with pytest.raises(BrokerUnavailableError):
        await subscribe(consumer, partial(asyncio.sleep, 0))
    with pytest.raises(BrokerUnavailableError):
        await TopicListener(away, EVENTS_EXCHANGE, print, queue_length=1).listen(["#"])


async def test_a_broker_that_does_not_answer_is_unavailable(
    wire: Wire, fragile: QueueConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that does not answer raises BrokerUnavailableError within a time limit."""
    monkeypatch.setattr("chassis.consuming.ANSWER_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("chassis.broker.CONNECT_TIMEOUT_SECONDS", 0.3)
    assert await fragile.get() is None
    wire.freeze()
    async with asyncio.timeout(SECONDS):
        with pytest.raises(BrokerUnavailableError):
            await fragile.get()


async def test_a_listener_hears_its_topics_alone(broker: Broker) -> None:
    """A listener receives the events of its topics once, in order, and no others."""
    heard: list[bytes] = []
    listener = TopicListener(broker, EVENTS_EXCHANGE, heard.append, queue_length=10)
    before = listener.is_listening
    await listener.listen(["job.1", "job.2"])
    assert (before, listener.is_listening) == (False, True)
    announcer = Announcer(broker)
    for number in (1, 3, 2):
        await announcer.announce(EVENTS_EXCHANGE, f"job.{number}", str(number).encode(), "text/plain")
    await eventually(lambda: len(heard) == 2, what="both events are heard")
    assert heard == [b"1", b"2"]


async def test_a_listener_notices_the_loss_of_its_connection(wire: Wire, broker: Broker) -> None:
    """A listener detects the loss of its connection, and can listen again."""
    through, heard = Broker(wire.url, "through the wire"), list[bytes]()
    listener = TopicListener(through, EVENTS_EXCHANGE, heard.append, queue_length=10)
    await listener.listen(["job.*"])
    wire.cut()
    await eventually(lambda: not listener.is_listening, what="the loss is noticed")
    await listener.listen(["job.*"])
    await Announcer(broker).announce(EVENTS_EXCHANGE, "job.1", b"1", "text/plain")
    await eventually(lambda: heard == [b"1"], what="the event is heard")
    await through.close()


async def test_a_listener_notices_that_the_broker_ends_its_consumer(
    vhost: str, services: Services, broker: Broker
) -> None:
    """A listener whose queue is deleted keeps its connection and its channel, and can listen again."""
    heard = list[bytes]()
    listener = TopicListener(broker, EVENTS_EXCHANGE, heard.append, queue_length=10)
    await listener.listen(["job.*"])
    async with services.broker.management() as http:
        names = [queue["name"] for queue in (await http.get(f"/api/queues/{vhost.rsplit('/', 1)[1]}")).json()]
    (own,) = (name for name in names if name.startswith("amq.gen"))
    await (await broker.channel()).queue_delete(own)
    await eventually(lambda: not listener.is_listening, what="the end is noticed")
    await listener.listen(["job.*"])
    assert listener.is_listening
    await Announcer(broker).announce(EVENTS_EXCHANGE, "job.1", b"1", "text/plain")
    await eventually(lambda: heard == [b"1"], what="the event is heard")
