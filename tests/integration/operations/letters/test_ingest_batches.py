"""Batches of the ingest: one transaction, each message with its own result, and a poisonous one alone."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from chassis.broker import Broker
from chassis.consuming import QueueConsumer
from chassis.postgres import Database
from darkroom_contracts.topology import DEAD_EXCHANGE, DEAD_QUEUE, Lanes, topology
from operations.letters.ingest import BATCH, Ingest
from operations.letters.recording import DeadMessage, Ingested, ingest_all
from tests.integration.operations.jobs import Jobs, complete_message, message
from tests.integration.operations.orphans import DELIVERY_LIMIT, REJECTED
from tests.support.ids import aged_id
from tests.support.waiting import eventually

POISON = """
    CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'poison'; END $$;
    CREATE TRIGGER refuse_poison BEFORE INSERT ON dead_letters
    FOR EACH ROW WHEN (NEW.body = 'poison') EXECUTE FUNCTION refuse_poison()
"""


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    opened = Broker(vhost, "operations-test")
    await opened.declare(topology([], Lanes(())))
    yield opened
    await opened.close()


@pytest.fixture
async def channel(vhost: str, broker: Broker) -> AsyncIterator[AbstractChannel]:
    """Open another client's channel to a broker with the queue."""
    async with await aio_pika.connect(vhost) as connection:
        yield await connection.channel()


async def bury(channel: AbstractChannel, *bodies: bytes) -> None:
    exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
    for body in bodies:
        await exchange.publish(aio_pika.Message(body), "tiny")


async def other_tenant(jobs: Jobs) -> UUID:
    tenant: UUID = await jobs.value("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    return tenant


async def test_each_message_of_a_batch_has_its_own_result(pool: Database, jobs: Jobs) -> None:
    """In the order in which they came, copies included."""
    failed, queued, running = await jobs.dead(), await jobs.queued(), await jobs.running()
    orphan = complete_message(aged_id(timedelta(hours=1)), jobs.tenant)
    batch = [
        (message(failed), REJECTED, Ingested.COMPLETED),
        (b"garbage", REJECTED, Ingested.UNDECODABLE),
        (orphan, REJECTED, Ingested.ORPHANED),
        (await jobs.relayed(queued), DELIVERY_LIMIT, Ingested.FAILED),
        (orphan, REJECTED, Ingested.DROPPED),
        (message(running), REJECTED, Ingested.DROPPED),
        (message(failed), DELIVERY_LIMIT, Ingested.COMPLETED),
        (b"garbage", {}, Ingested.DROPPED),
    ]
    results = await ingest_all(pool, [DeadMessage(body, headers) for body, headers, _ in batch])
    assert results == [expected for *_, expected in batch]
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 4
    again = await ingest_all(pool, [DeadMessage(body, headers) for body, headers, _ in batch])
    assert again.count(Ingested.COMPLETED) == 3
    assert again.count(Ingested.DROPPED) == 5


async def test_no_message_is_no_work(pool: Database) -> None:
    """A batch may be empty."""
    assert await ingest_all(pool, []) == []


@pytest.mark.parametrize("headers", [DELIVERY_LIMIT, REJECTED])
async def test_a_message_of_another_tenant_s_job_changes_nothing(
    pool: Database, jobs: Jobs, headers: dict[str, Any]
) -> None:
    """A forged message fails no queued job and completes no letter. It is kept, for operators to see."""
    queued, failed, stranger = await jobs.queued(), await jobs.dead(), await other_tenant(jobs)
    forged = [await jobs.relayed(job_id, tenant_id=stranger) for job_id in (queued, failed)]
    results = await ingest_all(pool, [DeadMessage(body, headers) for body in forged])
    assert results == [Ingested.UNDECODABLE] * 2
    assert await jobs.status(queued) == "queued"
    assert (await jobs.fetch("SELECT x_death FROM dead_letters WHERE job_id = $1", failed))[0]["x_death"] is None
    kept = await jobs.fetch(
        "SELECT body, job_id, tenant_id, error ->> 'message' AS message FROM dead_letters WHERE kind = 'undecodable'"
    )
    assert {row["body"] for row in kept} == {*forged}
    assert {(row["job_id"], row["tenant_id"]) for row in kept} == {(None, None)}
    assert any(str(queued) in row["message"] for row in kept)


async def test_the_tenant_s_own_messages_are_believed(pool: Database, jobs: Jobs) -> None:
    """A complete message of the job's own tenant fails the job, and completes its letter."""
    queued, failed = await jobs.queued(), await jobs.dead()
    batch = [
        DeadMessage(await jobs.relayed(queued), DELIVERY_LIMIT),
        DeadMessage(complete_message(failed, jobs.tenant), REJECTED),
    ]
    assert await ingest_all(pool, batch) == [Ingested.FAILED, Ingested.COMPLETED]


async def test_an_orphan_counts_the_earlier_generations(pool: Database, jobs: Jobs) -> None:
    """An orphan that came back has as many returns as its job has earlier letters."""
    job_id = aged_id(timedelta(hours=1))
    for generation in (1, 2, 3):
        await ingest_all(pool, [DeadMessage(complete_message(job_id, jobs.tenant, generation=generation), REJECTED)])
    rows = await jobs.fetch("SELECT returns FROM dead_letters WHERE job_id = $1 ORDER BY generation", job_id)
    assert [row["returns"] for row in rows] == [0, 1, 2]


async def test_a_poisonous_message_stays_alone(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """Where a batch can't be recorded, its messages are recorded singly; only the poisonous one returns."""
    await jobs.execute(POISON)
    await bury(channel, b"first", b"poison", b"last")
    loop = Ingest(pool, broker)
    with pytest.raises(Exception, match="RaiseError"):
        await loop.run_once()
    assert {row["body"] for row in await jobs.fetch("SELECT body FROM dead_letters")} == {b"first", b"last"}
    await jobs.execute("DROP TRIGGER refuse_poison ON dead_letters")
    await eventually(lambda: _recorded(loop, jobs, 3), what="the message came back")


async def _recorded(loop: Ingest, jobs: Jobs, count: int) -> bool:
    await loop.run_once()
    return bool(await jobs.value("SELECT count(*) FROM dead_letters") == count)


async def test_a_round_leaves_no_message_unacknowledged(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """A batch is taken whole: what exceeds it is still in the queue, for any consumer."""
    await bury(channel, *(b"garbage %d" % number for number in range(BATCH + 5)))
    assert await Ingest(pool, broker).run_once() is True
    queue = await channel.get_queue(DEAD_QUEUE, ensure=False)
    rest = [await queue.get(timeout=5) for _ in range(5)]
    assert {each.redelivered for each in rest} == {False}
    assert await queue.get(fail=False) is None
    assert await jobs.value("SELECT count(*) FROM dead_letters") == BATCH


async def test_a_batch_of_one_asks_for_one(broker: Broker, channel: AbstractChannel) -> None:
    """Without a subscription, and an empty queue gives nothing."""
    consumer = QueueConsumer(broker, DEAD_QUEUE, prefetch=1)
    await bury(channel, b"first", b"second")
    taken = await consumer.take(1)
    assert [each.body for each in taken] == [b"first"]
    both = [*taken, *await consumer.take(10)]
    assert [each.body for each in both] == [b"first", b"second"]
    assert all([await each.ack() for each in both])
    assert await consumer.take(10) == []
    await consumer.close()


async def test_messages_that_were_taken_return_with_the_channel(broker: Broker, channel: AbstractChannel) -> None:
    """All of them, if nobody acknowledges them."""
    consumer = QueueConsumer(broker, DEAD_QUEUE, prefetch=9)
    await bury(channel, *(b"%d" % number for number in range(5)))
    assert len(await consumer.take(10)) == 5
    await consumer.close()
    assert len(await consumer.take(10)) == 5
    await consumer.close()


async def test_unknown_tenants_and_jobs_are_orphans_still(pool: Database, jobs: Jobs) -> None:
    """Only a job that is known to be another tenant's makes a message forged."""
    body = complete_message(aged_id(timedelta(hours=1)), uuid4())
    assert await ingest_all(pool, [DeadMessage(body, REJECTED)]) == [Ingested.ORPHANED]
