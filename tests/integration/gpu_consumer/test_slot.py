"""A slot takes one message: it fetches one that waits, and subscribes if none does."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import gpu_consumer.worker.slot as slot_module
from chassis.broker import Broker
from darkroom_contracts.messages.v1 import encode
from darkroom_contracts.topology import work_queue
from gpu_consumer.gate import RENDERER, Gate
from gpu_consumer.usage import Usage
from gpu_consumer.worker.session import EmptyAnswers
from gpu_consumer.worker.slot import Slot
from tests.integration.gpu_consumer.workshop import Workshop
from tests.support.waiting import eventually


class Subscriptions(Usage):
    """A usage that counts subscriptions."""

    count = 0

    def subscribed(self) -> None:
        self.count += 1


@pytest.fixture
async def broker(workshop: Workshop) -> AsyncIterator[Broker]:
    broker = Broker(workshop.environment["DARKROOM_AMQP_URL"], "slot")
    yield broker
    await broker.close()


@pytest.fixture
def gate() -> Gate:
    gate = Gate(RENDERER)
    gate.allow(RENDERER)
    return gate


async def test_what_waits_is_fetched_alone(workshop: Workshop, broker: Broker, gate: Gate) -> None:
    """A message that waits is taken without a subscription, and the one behind it stays in the queue."""
    first, second = [await workshop.add_job() for _ in range(2)]
    await workshop.publish(first)
    await workshop.publish(second)
    await workshop.waiting_becomes(2)
    usage = Subscriptions()
    delivery = await Slot(broker, work_queue("tiny"), usage, EmptyAnswers()).take(gate)
    assert delivery is not None
    assert delivery.body == encode(first)
    assert (usage.count, await workshop.waiting()) == (0, 1)


async def test_what_comes_is_subscribed_for_once(workshop: Workshop, broker: Broker, gate: Gate) -> None:
    """A slot on an empty queue gets the next message, and not the one after it."""
    usage = Subscriptions()
    taking = asyncio.create_task(Slot(broker, work_queue("tiny"), usage, EmptyAnswers()).take(gate))
    first, second = [await workshop.add_job() for _ in range(2)]
    await eventually(lambda: usage.count == 1, what="the slot subscribed")
    await workshop.publish(first)
    delivery = await taking
    await workshop.publish(second)
    await workshop.waiting_becomes(1)
    assert delivery is not None
    assert (delivery.body, usage.count) == (encode(first), 1)


async def test_a_fetched_message_goes_back_with_its_channel(workshop: Workshop, broker: Broker, gate: Gate) -> None:
    """A slot that is closed gives back what it had fetched."""
    await workshop.submit()
    await workshop.waiting_becomes(1)
    slot = Slot(broker, work_queue("tiny"), Subscriptions(), EmptyAnswers())
    assert await slot.take(gate) is not None
    assert await workshop.waiting() == 0
    await slot.close()
    await workshop.waiting_becomes(1)


async def test_an_idle_slot_asks_again_and_again(
    broker: Broker, workshop: Workshop, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each "empty" is noted with the moment of its question, and a message that comes at any time is taken."""
    monkeypatch.setattr(slot_module, "ASK_AGAIN_SECONDS", 0.01)
    answers = CountedAnswers()
    taking = asyncio.create_task(Slot(broker, work_queue("tiny"), Usage(), answers).take(gate))
    await eventually(lambda: answers.count >= 5)
    message = await workshop.add_job()
    await workshop.publish(message)
    delivery = await asyncio.wait_for(taking, 10)
    assert delivery is not None
    assert delivery.body == encode(message)
    noted = answers.count
    await delivery.ack()
    await workshop.consumed()
    assert answers.count == noted


class CountedAnswers(EmptyAnswers):
    count = 0

    def note(self, asked_at: float) -> None:
        assert asked_at <= time.monotonic()
        self.count += 1
