"""The leader of one model's queue is suspended, so that it cannot confirm: other models are not affected."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from statistics import median
from uuid import UUID

import asyncpg
import pytest

from chassis.broker import Broker
from chassis.confirms import Answer, Message, wait_for_answers
from chassis.postgres import Database
from darkroom_contracts.messages import decode_render
from darkroom_contracts.messages.v1 import CONTENT_TYPE
from darkroom_contracts.topology import WORK_EXCHANGE, Lanes, work_queue
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import LONGEST_BATCH_SECONDS, Relay
from gateway.store import LARGEST_SHARE, OutboxStore
from tests.integration.gateway.outbox import Outbox, published
from tests.support import endpoints
from tests.support.clocks import Clock
from tests.support.suspension import suspended_queue
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

HEALTHY, STUCK = "aura", "boreas"
FEWEST_ROUNDS, MOST_ROUNDS = 3, 15
WORK = 12 * LARGEST_SHARE
"""Messages of the healthy model in a round."""
PROBES = 500
"""As many publishes without an answer in one channel make RabbitMQ stop reading from the connection."""


@pytest.fixture
async def vhost(suspendable_rabbitmq: endpoints.Broker) -> AsyncIterator[str]:
    """Yield a vhost in which queues can be suspended."""
    url = await suspendable_rabbitmq.create_vhost()
    yield url
    await suspendable_rabbitmq.delete_vhost(url)


@pytest.fixture
async def declarer(broker: Broker) -> Declarer:
    declarer = Declarer(broker, [HEALTHY, STUCK], Lanes.of((1,)))
    await declarer.run_once()
    return declarer


@pytest.fixture
def relay(pool: Database, broker: Broker, declarer: Declarer) -> Relay:
    return Relay(pool, OutboxStore(), Publishers(broker), declarer)


async def publish_all(relay: Relay, outbox: Outbox, model: str) -> float:
    """Run the relay until no message of the model waits. Return the duration in seconds."""
    started = time.monotonic()
    while await outbox.count(model):
        await relay.run_once()
    return time.monotonic() - started


async def received(vhost: str, model: str) -> Counter[UUID]:
    return Counter(decode_render(message.body).job_id for message in await published(vhost, work_queue(model)))


async def test_a_batch_ends_without_its_stragglers(
    pool: Database,
    broker: Broker,
    declarer: Declarer,
    outbox: Outbox,
    suspendable_rabbitmq: endpoints.Broker,
    vhost: str,
) -> None:
    """Confirmed messages are deleted while a queue is silent; its own messages wait, and its circuit opens."""
    relay = Relay(pool, OutboxStore(), Publishers(broker), declarer, Clock())
    stuck = await outbox.put(2 * LARGEST_SHARE, model=STUCK)
    async with suspended_queue(suspendable_rabbitmq, vhost, work_queue(STUCK)):
        healthy = await outbox.put(LARGEST_SHARE, model=HEALTHY)
        started = time.monotonic()
        await relay.run_once()
        assert time.monotonic() - started < LONGEST_BATCH_SECONDS / 2
        assert await outbox.count(HEALTHY) == 0
        assert await outbox.count(STUCK) == len(stuck)
        assert await received(vhost, HEALTHY) == Counter(healthy)
        assert sum(failures for failures, _ in await outbox.waiting()) == LARGEST_SHARE
        assert await relay.run_once() is False
        assert sum(failures for failures, _ in await outbox.waiting()) == LARGEST_SHARE


async def test_a_stuck_queue_slows_no_other(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, suspendable_rabbitmq: endpoints.Broker, vhost: str
) -> None:
    """With 3,000 messages for a suspended leader another model has at least 0.8 of its usual rate."""
    await outbox.put(3000, model=STUCK)
    alone: list[float] = []
    beside: list[float] = []
    while not _tells(alone, beside):
        await rows.execute("UPDATE outbox SET available_at = now() + interval '1 hour'")
        await outbox.put(WORK, model=HEALTHY)
        alone.append(await publish_all(relay, outbox, HEALTHY))

        async with suspended_queue(suspendable_rabbitmq, vhost, work_queue(STUCK)):
            await outbox.let_be_due()
            await relay.run_once()
            await outbox.put(WORK, model=HEALTHY)
            stuck = await outbox.count(STUCK)
            beside.append(await publish_all(relay, outbox, HEALTHY))
            assert await outbox.count(STUCK) == stuck
        await eventually(lambda: confirms_again(relay, outbox), what="the stuck queue confirms again")
    assert median(alone) / median(beside) >= 0.8, (alone, beside)


def _tells(alone: list[float], beside: list[float]) -> bool:
    """Return whether there were enough rounds: a busy machine, which slows the relay, needs more."""
    if len(alone) < FEWEST_ROUNDS:
        return False
    return len(alone) == MOST_ROUNDS or median(alone) / median(beside) >= 0.8


async def confirms_again(relay: Relay, outbox: Outbox) -> bool:
    """Return whether the circuit of the stuck queue is closed: a new message is published at once."""
    await outbox.put(model=STUCK)
    before = await outbox.count(STUCK)
    await relay.run_once()
    return await outbox.count(STUCK) < before


async def test_a_queue_that_comes_back_gets_all_that_waited(
    relay: Relay, outbox: Outbox, suspendable_rabbitmq: endpoints.Broker, vhost: str
) -> None:
    """Late confirms count: each message arrives, and those sent before the probes only once."""
    stuck = await outbox.put(3 * LARGEST_SHARE, model=STUCK)
    async with suspended_queue(suspendable_rabbitmq, vhost, work_queue(STUCK)):
        await relay.run_once()
        assert await outbox.count(STUCK) == len(stuck)

    async def through() -> bool:
        await relay.run_once()
        return not await outbox.count(STUCK)

    await eventually(through, seconds=60, what="all that waited is published")
    assert await received(vhost, STUCK) == Counter(stuck)


async def test_probes_do_not_pile_up(
    broker: Broker, declarer: Declarer, suspendable_rabbitmq: endpoints.Broker, vhost: str
) -> None:
    """After many publishes without an answer the channel is replaced, and other models continue."""
    publishers = Publishers(broker)
    async with suspended_queue(suspendable_rabbitmq, vhost, work_queue(STUCK)):
        for _ in range(PROBES):
            await publishers.send(STUCK, [Message(WORK_EXCHANGE, STUCK, b"{}", {}, CONTENT_TYPE)])
        (receipt,) = await publishers.send(HEALTHY, [Message(WORK_EXCHANGE, HEALTHY, b"{}", {}, CONTENT_TYPE)])
        await wait_for_answers([receipt], 10)
        assert receipt.answer == Answer.CONFIRMED
