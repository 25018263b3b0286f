"""The relay: from the outbox to the broker without losing a message."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import pytest

from chassis.broker import Broker
from chassis.confirms import Message, Receipt
from chassis.errors import BrokerUnavailableError
from chassis.postgres import Database
from darkroom_contracts.messages import decode_render
from darkroom_contracts.topology import JOB_ID_HEADER, LANE_HEADER, WORK_EXCHANGE, Lanes, work_queue
from gateway import store as gateway_store
from gateway.declarer import Declarer
from gateway.publishers import Publishers
from gateway.relay import Relay
from gateway.store import LARGEST_SHARE, OutboxStore
from tests.integration.gateway.outbox import Outbox, published
from tests.integration.gateway.submissions import TRACEPARENT
from tests.support.clocks import Clock
from tests.support.plans import KeptPlans, explain, nodes
from tests.support.queues import Queues
from tests.support.waiting import eventually

MODEL = "tiny"
QUEUE = work_queue(MODEL)
LANES = Lanes.of((1, 2, 3))


@pytest.fixture
async def declarer(broker: Broker) -> Declarer:
    """Return a declarer that has declared the topology of MODEL."""
    declarer = Declarer(broker, [MODEL], LANES)
    await declarer.run_once()
    return declarer


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the relay's circuit breakers."""
    return Clock()


@pytest.fixture
def relay(pool: Database, broker: Broker, declarer: Declarer, clock: Clock) -> Relay:
    return Relay(pool, OutboxStore(), Publishers(broker), declarer, clock)


async def received(vhost: str, queue: str = QUEUE) -> list[UUID]:
    """Empty the queue and return the jobs of its messages."""
    return [decode_render(message.body).job_id for message in await published(vhost, queue)]


async def test_a_message_reaches_its_models_queue(relay: Relay, outbox: Outbox, vhost: str) -> None:
    """It is persistent, with the job's id and trace in its headers; the confirmed row is deleted."""
    (job,) = await outbox.put()
    assert await relay.run_once() is False
    (message,) = await published(vhost, QUEUE)
    assert decode_render(message.body).job_id == job
    assert message.headers.items() >= {JOB_ID_HEADER: str(job), "traceparent": TRACEPARENT}.items()
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert await outbox.waiting() == []


async def test_a_message_that_names_a_lane_waits_in_it(relay: Relay, outbox: Outbox, vhost: str) -> None:
    """It goes to the lane's queue, from where it returns to its model."""
    lane = LANES.rungs[2][1]
    (job,) = await outbox.put(lane=lane.name)
    await relay.run_once()
    (message,) = await published(vhost, lane.queue)
    assert (message.routing_key, message.headers[LANE_HEADER]) == (MODEL, lane.name)
    assert decode_render(message.body).job_id == job


async def test_messages_go_out_in_order_and_in_batches(relay: Relay, outbox: Outbox, vhost: str) -> None:
    """A full batch reports that more may wait; the oldest are published first."""
    jobs = await outbox.put(LARGEST_SHARE + 5)
    assert await relay.run_once() is True
    assert await received(vhost) == jobs[:LARGEST_SHARE]
    assert await relay.run_once() is False
    assert await received(vhost) == jobs[LARGEST_SHARE:]


async def test_a_batch_is_shared_fairly(
    relay: Relay, declarer: Declarer, outbox: Outbox, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages wait for one model or lane, each of the others has the same share of the batch."""
    monkeypatch.setattr(gateway_store, "LARGEST_TAKE", 12)
    declarer.require(["aura", "boreas"])
    await declarer.run_once()
    await outbox.put(60)
    await outbox.put(9, model="aura")
    await outbox.put(2, model="boreas")
    await outbox.put(9, lane=LANES.rungs[0][0].name)
    assert await relay.run_once() is True
    names = [QUEUE, work_queue("aura"), work_queue("boreas"), LANES.rungs[0][0].queue]
    assert [len(await received(vhost, name)) for name in names] == [3, 3, 2, 3]


async def test_a_batch_costs_what_it_takes(outbox: Outbox, rows: asyncpg.Connection) -> None:
    """Neither a custom nor a generic plan reads a whole table."""
    for model in ("tiny", "aura", "boreas"):
        await outbox.put(1500, model=model)
    await rows.execute("ANALYZE")
    sql = gateway_store.queries.take_messages.sql
    for generic in (False, True):
        plan = await explain(rows, sql, "'{}', '{}', 4, 12", generic=generic)
        scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
        assert scanned <= {"instance"}
        assert plan["Actual Rows"] == 12
        assert max(node["Actual Rows"] for node in nodes(plan)) <= 12


async def test_a_plan_made_while_nothing_waited_costs_no_more(outbox: Outbox, rows: asyncpg.Connection) -> None:
    """A connection keeps the plan for an empty outbox, which must not read a whole burst."""
    for table in ("jobs", "outbox"):
        await rows.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    await rows.execute("VACUUM ANALYZE")
    kept, late = KeptPlans(rows), "'{1, 2, 3}', array_fill(now(), '{3}')"
    statements = {
        "take_messages": "'{}', '{}', 4, 12",
        "delete_messages": "'{1, 2, 3}'",
        "postpone_messages": "1, '{1, 2, 3}'",
        "delete_unchanged_messages": late,
        "renew_announcements": "array_fill(gen_random_uuid(), '{3}'), '{1, 1, 1}', array_fill(now(), '{3}')",
    }
    for name, arguments in statements.items():
        await kept.prepare(getattr(gateway_store.queries, name).sql, arguments)
    await outbox.put(3_000)
    for name, arguments in statements.items():
        plan = await kept.explain(getattr(gateway_store.queries, name).sql, arguments)
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes(plan))
        assert max(read) <= 12, (name, plan)


async def test_what_is_not_due_stays(relay: Relay, outbox: Outbox, rows: asyncpg.Connection, vhost: str) -> None:
    """A row stays until it is available."""
    await outbox.put()
    await rows.execute("UPDATE outbox SET available_at = now() + interval '1 hour'")
    await relay.run_once()
    assert await received(vhost) == []
    assert await outbox.waiting() == [(0, False)]


async def test_two_relays_share_the_work(
    relay: Relay, pool: Database, broker: Broker, declarer: Declarer, outbox: Outbox, vhost: str
) -> None:
    """Each skips the rows that the other has locked, so that every message is published once."""
    jobs = await outbox.put(2 * LARGEST_SHARE)
    await asyncio.gather(relay.run_once(), Relay(pool, OutboxStore(), Publishers(broker), declarer).run_once())
    assert Counter(await received(vhost)) == Counter(jobs)


async def test_an_unroutable_message_waits_and_its_queue_is_declared(
    relay: Relay, declarer: Declarer, outbox: Outbox, vhost: str, clock: Clock
) -> None:
    """It backs off without delaying the others, and is delivered once its queue exists."""
    await outbox.put(model="forgotten")
    (job,) = await outbox.put()
    await relay.run_once()
    assert await received(vhost) == [job]
    assert await outbox.waiting() == [(1, False)]

    await declarer.run_once()
    await outbox.let_be_due()
    clock.seconds += 1
    await relay.run_once()
    assert len(await received(vhost, work_queue("forgotten"))) == 1
    assert await outbox.waiting() == []


async def test_the_back_off_grows_up_to_a_bound(relay: Relay, outbox: Outbox, clock: Clock) -> None:
    """The pauses are 1, 2, 4, ... and at most 60 seconds."""
    await outbox.put(model="forgotten")
    pauses = []
    for failures in (0, 1, 2, 3, 20):
        await outbox.let_be_due(failures)
        clock.seconds += 60
        await relay.run_once()
        pauses += await outbox.pauses()
    assert pauses == pytest.approx([1, 2, 4, 8, 60], abs=0.9)


async def test_a_refused_message_backs_off(relay: Relay, outbox: Outbox, vhost: str) -> None:
    """A full queue nacks; the row stays and counts the failure."""
    await outbox.put(model="full")
    arguments: dict[str, Any] = {"x-max-length": 0, "x-overflow": "reject-publish"}
    async with Queues(vhost).channel() as channel:
        queue = await channel.declare_queue("full", durable=True, arguments=arguments)
        await queue.bind(WORK_EXCHANGE, "full")
    await relay.run_once()
    assert await outbox.waiting() == [(1, False)]


async def test_a_model_that_takes_nothing_is_probed_by_one_message(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, clock: Clock
) -> None:
    """Its other messages wait, longer after each failed probe."""
    await outbox.put(5, model="forgotten")
    tried = []
    for seconds in (0, 0.9, 0.2, 1.7, 0.4):
        clock.seconds += seconds
        await outbox.let_be_due()
        await relay.run_once()
        tried.append(await rows.fetchval("SELECT sum(failures) FROM outbox"))
    assert tried == [5, 5, 6, 6, 7]


async def test_without_a_broker_nothing_is_touched(pool: Database, declarer: Declarer, outbox: Outbox) -> None:
    """The round fails before it opens a transaction; the row stays due, without a failure."""
    await outbox.put()
    nowhere = Publishers(Broker("amqp://127.0.0.1:1/", "test"))
    with pytest.raises(BrokerUnavailableError):
        await Relay(pool, OutboxStore(), nowhere, declarer).run_once()
    assert await outbox.waiting() == [(0, True)]


class DyingProcess(Publishers):
    """Publishers of a process that dies after publishing."""

    async def send(self, destination: str, messages: Sequence[Message]) -> list[Receipt]:
        await super().send(destination, messages)
        raise KeyError("stands for the end of the process: the transaction is rolled back")


async def test_a_crash_before_the_delete_makes_a_duplicate_not_a_loss(
    relay: Relay, broker: Broker, pool: Database, declarer: Declarer, outbox: Outbox, vhost: str
) -> None:
    """A message that was published but not deleted is published again."""
    (job,) = await outbox.put()
    with pytest.raises(KeyError):
        await Relay(pool, OutboxStore(), DyingProcess(broker), declarer).run_once()
    assert await outbox.waiting() == [(0, True)]
    await relay.run_once()
    assert await received(vhost) == [job, job]


OBSOLETE = {
    "at its end": "UPDATE jobs SET status = 'canceled', completed_at = now() WHERE id = $1",
    "replayed": "UPDATE jobs SET generation = 2 WHERE id = $1",
    "gone": "DELETE FROM jobs WHERE id = $1",
}


@pytest.mark.parametrize("change", OBSOLETE.values(), ids=list(OBSOLETE))
async def test_a_message_that_nobody_would_act_on_is_dropped(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, vhost: str, change: str
) -> None:
    """A message whose job has ended, has another generation or is gone is deleted; others are published."""
    obsolete, job = await outbox.put(2)
    await rows.execute(change, obsolete)
    await relay.run_once()
    assert await received(vhost) == [job]
    assert await outbox.waiting() == []


async def test_a_running_jobs_message_goes_out(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, vhost: str
) -> None:
    """The job may be queued again when a worker reads the message."""
    (job,) = await outbox.put()
    await rows.execute(
        "UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), worker = 'ansel', lease_token = $2,"
        " lease_expires_at = now() WHERE id = $1",
        job,
        uuid4(),
    )
    await relay.run_once()
    assert await received(vhost) == [job]


async def test_a_row_that_cannot_be_read_stops_no_other(
    relay: Relay, outbox: Outbox, rows: asyncpg.Connection, vhost: str
) -> None:
    """Only the job with an undecodable input backs off."""
    unreadable, job = await outbox.put(2)
    await rows.execute("UPDATE jobs SET input = '{}' WHERE id = $1", unreadable)
    await relay.run_once()
    assert await received(vhost) == [job]
    assert await outbox.waiting() == [(1, False)]


class FailingOnce(Publishers):
    """Publishers whose first connection attempt fails."""

    failed = False

    async def connect(self) -> None:
        if not self.failed:
            self.failed = True
            raise BrokerUnavailableError("away")
        await super().connect()


async def test_a_relay_continues_after_a_failed_round(
    pool: Database, broker: Broker, declarer: Declarer, outbox: Outbox, vhost: str
) -> None:
    """The loop logs the failure, waits, and publishes in the next round."""
    (job,) = await outbox.put()
    stop = asyncio.Event()
    running = asyncio.create_task(Relay(pool, OutboxStore(), FailingOnce(broker), declarer).run(stop))

    async def is_published() -> bool:
        return await outbox.waiting() == []

    await eventually(is_published, what="the message is published")
    stop.set()
    await running
    assert await received(vhost) == [job]
