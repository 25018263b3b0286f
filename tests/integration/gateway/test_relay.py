"""The relay: from the outbox to the broker, never losing a message."""

import asyncio
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractIncomingMessage

from chassis.amqp import Broker, BrokerUnavailableError, Publisher
from chassis.postgres import Database
from contracts.messages import decode_render
from contracts.messages.v1 import Render
from contracts.topology import JOB_ID_HEADER, LANE_HEADER, WORK_EXCHANGE, Lanes, work_queue
from gateway.identifiers import uuid7
from gateway.relay import BATCH, Relay
from gateway.store import OutboxStore
from gateway.topology import Declarer
from tests.integration.gateway.submissions import TRACEPARENT
from tests.support.queues import Queues

MODEL = "tiny"
QUEUE = work_queue(MODEL)
LANES = Lanes.of((1, 2, 3))


@pytest.fixture
async def declarer(broker: Broker) -> Declarer:
    """The topology of MODEL, declared."""
    declarer = Declarer(broker, [MODEL], LANES)
    await declarer.run_once()
    return declarer


@pytest.fixture
def publisher(broker: Broker) -> Publisher:
    return Publisher(broker)


@pytest.fixture
def relay(pool: Database, publisher: Publisher, declarer: Declarer) -> Relay:
    return Relay(pool, OutboxStore(), publisher, declarer)


async def put(rows: asyncpg.Connection, count: int = 1, model: str = MODEL, lane: str | None = None) -> list[UUID]:
    """Put messages into the outbox; their jobs."""
    jobs = [uuid7() for _ in range(count)]
    await rows.executemany(
        "INSERT INTO outbox (job_id, generation, model, lane, traceparent) VALUES ($1, 1, $2, $3, $4)",
        [(job, model, lane, TRACEPARENT) for job in jobs],
    )
    return jobs


async def published(vhost: str, queue: str = QUEUE) -> list[AbstractIncomingMessage]:
    """Take all messages out of the queue."""
    messages = []
    async with Queues(vhost).channel() as channel:
        source = await channel.get_queue(queue)
        while message := await source.get(fail=False, no_ack=True):
            messages.append(message)
    return messages


async def waiting(rows: asyncpg.Connection) -> list[tuple[int, bool]]:
    """(failures, whether it is due) of what the outbox holds."""
    return [tuple(row) for row in await rows.fetch("SELECT failures, available_at <= now() FROM outbox")]


async def test_a_message_reaches_its_models_queue(relay: Relay, rows: asyncpg.Connection, vhost: str) -> None:
    """Persistent, with the job's id and trace in its headers; the confirmed row is gone."""
    (job,) = await put(rows)
    assert await relay.run_once() is False
    (message,) = await published(vhost)
    assert decode_render(message.body) == Render(job, 1, MODEL, TRACEPARENT)
    assert message.headers.items() >= {JOB_ID_HEADER: str(job), "traceparent": TRACEPARENT}.items()
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert await waiting(rows) == []


async def test_a_message_that_names_a_lane_waits_in_it(relay: Relay, rows: asyncpg.Connection, vhost: str) -> None:
    """It goes to the lane's queue, and from there it can return to its model."""
    lane = LANES.rungs[2][1]
    (job,) = await put(rows, lane=lane.name)
    await relay.run_once()
    (message,) = await published(vhost, lane.queue)
    assert (message.routing_key, message.headers[LANE_HEADER]) == (MODEL, lane.name)
    assert decode_render(message.body).job_id == job


async def test_messages_go_out_in_order_and_in_batches(relay: Relay, rows: asyncpg.Connection, vhost: str) -> None:
    """A full batch says that more may wait; the oldest go first."""
    jobs = await put(rows, BATCH + 5)
    assert await relay.run_once() is True
    assert [decode_render(message.body).job_id for message in await published(vhost)] == jobs[:BATCH]
    assert await relay.run_once() is False
    assert [decode_render(message.body).job_id for message in await published(vhost)] == jobs[BATCH:]


async def test_what_is_not_due_stays(relay: Relay, rows: asyncpg.Connection, vhost: str) -> None:
    """A row is left alone until it is available."""
    await put(rows)
    await rows.execute("UPDATE outbox SET available_at = now() + interval '1 hour'")
    await relay.run_once()
    assert await published(vhost) == []
    assert await waiting(rows) == [(0, False)]


async def test_two_relays_share_the_work(
    relay: Relay, pool: Database, publisher: Publisher, declarer: Declarer, rows: asyncpg.Connection, vhost: str
) -> None:
    """What one holds the other passes over, so that every message goes out once."""
    jobs = await put(rows, 2 * BATCH)
    await asyncio.gather(relay.run_once(), Relay(pool, OutboxStore(), publisher, declarer).run_once())
    assert sorted(decode_render(message.body).job_id for message in await published(vhost)) == sorted(jobs)


async def test_an_unroutable_message_waits_and_its_queue_is_declared(
    relay: Relay, declarer: Declarer, rows: asyncpg.Connection, vhost: str
) -> None:
    """It backs off without holding up the others, and is delivered once its queue is there."""
    await put(rows, model="forgotten")
    (job,) = await put(rows)
    await relay.run_once()
    assert [decode_render(message.body).job_id for message in await published(vhost)] == [job]
    assert await waiting(rows) == [(1, False)]

    await declarer.run_once()
    await rows.execute("UPDATE outbox SET available_at = now()")
    await relay.run_once()
    assert len(await published(vhost, work_queue("forgotten"))) == 1
    assert await waiting(rows) == []


async def test_the_back_off_grows_up_to_a_bound(relay: Relay, rows: asyncpg.Connection) -> None:
    """1, 2, 4, ... seconds, and five minutes at the most."""
    await put(rows, model="forgotten")
    pauses = []
    for failures in (0, 1, 2, 3, 20):
        await rows.execute("UPDATE outbox SET failures = $1, available_at = now()", failures)
        await relay.run_once()
        pauses.append(await rows.fetchval("SELECT extract(epoch FROM available_at - now())::float FROM outbox"))
    assert pauses == pytest.approx([1, 2, 4, 8, 300], abs=0.9)


async def test_a_refused_message_backs_off(relay: Relay, rows: asyncpg.Connection, vhost: str) -> None:
    """A queue that takes no more nacks; the row stays and counts the failure."""
    await put(rows, model="full")
    arguments: dict[str, Any] = {"x-max-length": 0, "x-overflow": "reject-publish"}
    async with Queues(vhost).channel() as channel:
        queue = await channel.declare_queue("full", durable=True, arguments=arguments)
        await queue.bind(WORK_EXCHANGE, "full")
    await relay.run_once()
    assert await waiting(rows) == [(1, False)]


async def test_without_a_broker_nothing_is_touched(
    pool: Database, declarer: Declarer, rows: asyncpg.Connection
) -> None:
    """The round fails before it opens a transaction; the row stays due, with no failure counted."""
    await put(rows)
    nowhere = Publisher(Broker("amqp://127.0.0.1:1/", "test"))
    with pytest.raises(BrokerUnavailableError):
        await Relay(pool, OutboxStore(), nowhere, declarer).run_once()
    assert await waiting(rows) == [(0, True)]


class SilentBroker(Publisher):
    """Publishes, but the confirm is lost on its way back."""

    async def publish(self, *arguments: Any) -> None:
        await super().publish(*arguments)
        raise BrokerUnavailableError("the connection is lost")


class DyingProcess(Publisher):
    """Publishes, and the process dies before it can say so."""

    async def publish(self, *arguments: Any) -> None:
        await super().publish(*arguments)
        raise KeyError("stands for the end of the process: the transaction is rolled back")


async def test_an_unknown_outcome_makes_a_duplicate_not_a_loss(
    relay: Relay, broker: Broker, pool: Database, declarer: Declarer, rows: asyncpg.Connection, vhost: str
) -> None:
    """When the confirm is lost the row is published again a little later; it counts as no failure."""
    (job,) = await put(rows)
    await Relay(pool, OutboxStore(), SilentBroker(broker), declarer).run_once()
    assert await waiting(rows) == [(0, False)]
    await rows.execute("UPDATE outbox SET available_at = now()")
    await relay.run_once()
    assert [decode_render(message.body).job_id for message in await published(vhost)] == [job, job]
    assert await waiting(rows) == []


async def test_a_crash_before_the_delete_makes_a_duplicate_not_a_loss(
    relay: Relay, broker: Broker, pool: Database, declarer: Declarer, rows: asyncpg.Connection, vhost: str
) -> None:
    """What was published but not deleted is published again by whoever comes next."""
    (job,) = await put(rows)
    with pytest.raises(KeyError):
        await Relay(pool, OutboxStore(), DyingProcess(broker), declarer).run_once()
    assert await waiting(rows) == [(0, True)]
    await relay.run_once()
    assert [decode_render(message.body).job_id for message in await published(vhost)] == [job, job]


async def test_the_topology_is_declared_once_the_broker_is_back(broker: Broker, vhost: str) -> None:
    """A failed declaration is tried again, a finished one is not."""
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
