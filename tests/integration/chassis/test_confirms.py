"""Publisher confirms for batches on a real broker, and the attributes of aiormq that they use."""

import asyncio
from collections.abc import Sequence

import aio_pika
import pytest
from aiormq.channel import Channel

from chassis.broker import Broker
from chassis.confirms import Answer, ConfirmedChannel, Message, Receipt, wait_for_answers
from chassis.errors import BrokerUnavailableError
from chassis.publishing import Publisher
from darkroom_contracts.topology import WORK_EXCHANGE, Lanes, topology, work_queue
from tests.integration.chassis.queues import taken_from
from tests.integration.chassis.wire import wire_to

SECONDS = 10.0


@pytest.fixture
async def broker(broker: Broker) -> Broker:
    """Return the broker with a queue `full` that refuses every message."""
    channel = await broker.channel()
    await channel.declare_queue("full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    return broker


@pytest.fixture
async def aiormq_channel(broker: Broker) -> Channel:
    channel = await broker.channel()
    underlay = await channel.get_underlay_channel()
    assert isinstance(underlay, Channel)
    return underlay


@pytest.fixture
def channel(aiormq_channel: Channel) -> ConfirmedChannel:
    return ConfirmedChannel(aiormq_channel)


def message(body: bytes = b"hello", key: str = "tiny", exchange: str = WORK_EXCHANGE) -> Message:
    return Message(exchange, key, body, {"job": "j-1"}, "text/plain")


async def answers(receipts: Sequence[Receipt]) -> list[Answer | None]:
    await wait_for_answers(receipts, SECONDS)
    return [receipt.answer for receipt in receipts]


async def bodies(broker: Broker, queue: str = "darkroom.render.tiny.v1") -> list[bytes]:
    """Take all messages that wait in a queue, and return their bodies."""
    return [taken.body for taken in await taken_from(broker, queue)]


async def test_a_batch_arrives_whole_and_in_order(channel: ConfirmedChannel, broker: Broker) -> None:
    """Every message of a batch is confirmed and persistent, with an id of its own, headers and type."""
    wanted = [str(number).encode() for number in range(300)]
    receipts = await channel.send([message(body) for body in wanted])
    assert await answers(receipts) == [Answer.CONFIRMED] * 300
    taken = await taken_from(broker, work_queue("tiny"))
    assert [each.body for each in taken] == wanted
    assert {each.delivery_mode for each in taken} == {aio_pika.DeliveryMode.PERSISTENT}
    assert {(each.headers["job"], each.content_type) for each in taken} == {("j-1", "text/plain")}
    assert len({each.message_id for each in taken}) == 300


async def test_each_gets_its_own_answer(channel: ConfirmedChannel, broker: Broker) -> None:
    """Each message gets its own answer, in several concurrent batches."""
    kinds: list[tuple[Message, Answer]] = [
        (message(), Answer.CONFIRMED),
        (message(key="no-such-model"), Answer.RETURNED),
        (message(key="full", exchange=""), Answer.REFUSED),
    ]
    chosen = [kinds[number % 3] for number in range(90)]
    batches = [chosen[start : start + 30] for start in range(0, 90, 30)]
    receipts = [await channel.send([each for each, _ in batch]) for batch in batches]
    assert [await answers(those) for those in receipts] == [[answer for _, answer in batch] for batch in batches]
    assert len(await bodies(broker)) == 30


async def test_nothing_is_kept_of_what_was_answered(channel: ConfirmedChannel, aiormq_channel: Channel) -> None:
    """Answered publishes leave no state behind, because a relay runs for months."""
    receipts = await channel.send([message(), message(key="no-such-model"), message(key="full", exchange="")] * 20)
    await answers(receipts)
    await answers(await channel.send([message()]))
    assert channel.unanswered == 0
    assert aiormq_channel.message_id_delivery_tag == {}


async def test_a_batch_shares_a_channel_with_single_publishes(
    channel: ConfirmedChannel, aiormq_channel: Channel, broker: Broker
) -> None:
    """Batches and aiormq's own publishes share the channel's delivery tags."""
    first = await channel.send([message(b"1"), message(b"2")])
    await aiormq_channel.basic_publish(b"3", routing_key=work_queue("tiny"))
    second = await channel.send([message(b"4")])
    assert await answers([*first, *second]) == [Answer.CONFIRMED] * 3
    assert await bodies(broker) == [b"1", b"2", b"3", b"4"]


async def test_a_long_message_is_cut_into_frames(channel: ConfirmedChannel, broker: Broker) -> None:
    """A message longer than a frame arrives whole, and so does an empty one."""
    long = bytes(range(256)) * 2000
    assert await answers(await channel.send([message(b""), message(long)])) == [Answer.CONFIRMED] * 2
    assert await bodies(broker) == [b"", long]


async def test_a_batch_to_an_exchange_that_is_gone_is_unknown(channel: ConfirmedChannel) -> None:
    """A missing exchange closes the channel, and all answers of the batch are unknown."""
    receipts = await channel.send([message(exchange="no.such.exchange"), message()])
    assert await answers(receipts) == [Answer.UNKNOWN] * 2
    assert channel.is_closed


async def test_a_lost_connection_leaves_its_messages_unknown(vhost: str, broker: Broker) -> None:
    """After a lost connection, missing answers are unknown and earlier answers stay."""
    async with wire_to(vhost) as wire:
        through = Broker(wire.url, "through the wire")
        publisher = Publisher(through)
        before = await publisher.send([message()])
        assert await answers(before) == [Answer.CONFIRMED]
        wire.freeze()
        after = await publisher.send([message()])
        wire.cut()
        assert await answers(after) == [Answer.UNKNOWN]
        assert before[0].answer == Answer.CONFIRMED
        await through.close()


async def test_a_write_without_room_ends_in_time(vhost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the broker stops reading, a write fails in time, and its messages are not registered."""
    monkeypatch.setattr("chassis.publishing.PUBLISH_TIMEOUT_SECONDS", 0.3)
    async with wire_to(vhost) as wire:
        through = Broker(wire.url, "through the wire")
        await through.declare(topology(["tiny"], Lanes.of((1,))))
        publisher = Publisher(through)
        await answers(await publisher.send([message()]))
        wire.freeze()
        with pytest.raises(BrokerUnavailableError):
            await send_on(publisher)
        assert publisher.unanswered < 100
        wire.cut()
        await through.close()


async def send_on(publisher: Publisher) -> None:
    for _ in range(1000):
        await publisher.send([message(b"x" * 1_000_000)])


async def test_waiting_ends_when_answers_stop_coming() -> None:
    """The wait ends after a quiet period without answers, or at its time limit."""
    receipts = [Receipt() for _ in range(4)]
    waiting = asyncio.create_task(wait_for_answers(receipts, 60, 0.2))
    for receipt in receipts[:3]:
        await asyncio.sleep(0.15)
        receipt.resolve(Answer.CONFIRMED)
        assert not waiting.done()
    await asyncio.wait_for(waiting, SECONDS)
    await wait_for_answers(receipts, 0.01)
    assert [receipt.answer for receipt in receipts] == [Answer.CONFIRMED] * 3 + [None]
    receipts[3].resolve(Answer.REFUSED)
    await asyncio.wait_for(wait_for_answers(receipts, 60), SECONDS)


async def test_a_receipt_keeps_its_first_answer() -> None:
    """The first answer stays, and listeners are called once."""
    receipt, heard = Receipt(), list[Answer | None]()
    receipt.listen(lambda answered: heard.append(answered.answer))
    receipt.resolve(Answer.CONFIRMED)
    receipt.resolve(Answer.UNKNOWN)
    assert heard == [Answer.CONFIRMED]
