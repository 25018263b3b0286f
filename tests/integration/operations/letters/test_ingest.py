import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractChannel

from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, DatabaseUnavailableError
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.messages.v1 import Render, encode
from darkroom_contracts.topology import DEAD_EXCHANGE, DEAD_QUEUE, WORK_DELIVERY_LIMIT, Lanes, topology, work_queue
from operations.letters.ingest import BATCH, Ingest, Ingested, ingest
from tests.integration.operations.jobs import Jobs, complete_message, message
from tests.support.fixtures import DatabaseFactory
from tests.support.ids import aged_id
from tests.support.waiting import eventually

DELIVERY_LIMIT = {"x-death": [{"reason": "delivery_limit", "queue": "darkroom.render.tiny.v1", "count": 1}]}
REJECTED = {"x-death": [{"reason": "rejected", "queue": "darkroom.render.tiny.v1", "count": 1}]}


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    opened = Broker(vhost, "operations-test")
    yield opened
    await opened.close()


@pytest.fixture
async def channel(vhost: str, broker: Broker) -> AsyncIterator[AbstractChannel]:
    """Open another client's channel to a broker with the whole topology."""
    await broker.declare(topology(["tiny"], Lanes.of()))
    async with await aio_pika.connect(vhost) as connection:
        yield await connection.channel()


async def _bury(channel: AbstractChannel, body: bytes, headers: dict[str, Any] | None = None) -> None:
    exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
    await exchange.publish(aio_pika.Message(body, headers=headers or {}), "tiny")


async def _waiting(channel: AbstractChannel) -> int:
    queue = await channel.declare_queue(DEAD_QUEUE, passive=True)
    return queue.declaration_result.message_count or 0


async def test_a_rejected_message_completes_its_letter(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """The ingest of a rejected message adds the broker's x-death to the letter that the settle wrote."""
    job_id = await jobs.dead()
    work = await channel.get_queue(work_queue("tiny"), ensure=False)
    await channel.default_exchange.publish(aio_pika.Message(message(job_id)), work.name)
    taken = await work.get(timeout=5)
    await taken.reject(requeue=False)
    await eventually(lambda: _drained(pool, broker, jobs), what="the letter has its x-death")
    letter = await jobs.letter(job_id)
    [death] = msgspec.json.decode(letter["x_death"])
    assert (death["reason"], death["queue"], letter["status"]) == ("rejected", work.name, "open")
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1
    assert await _waiting(channel) == 0


async def _drained(pool: Database, broker: Broker, jobs: Jobs) -> bool:
    await Ingest(pool, broker).run_once()
    return bool(await jobs.value("SELECT count(*) > 0 FROM dead_letters WHERE x_death IS NOT NULL"))


async def test_a_message_at_the_delivery_limit_fails_its_job(pool: Database, jobs: Jobs) -> None:
    """A message at the delivery limit fails its job, whose dead letter holds the exact message."""
    job_id = await jobs.queued()
    body = await jobs.relayed(job_id)
    assert await ingest(pool, body, DELIVERY_LIMIT) is Ingested.FAILED
    letter = await jobs.letter(job_id)
    assert (await jobs.status(job_id), letter["reason"]) == ("failed", "delivery_limit")
    assert letter["body"] == body
    assert msgspec.json.decode(letter["headers"]) == DELIVERY_LIMIT
    assert msgspec.json.decode(letter["x_death"]) == DELIVERY_LIMIT["x-death"]
    assert await jobs.value("SELECT event FROM webhook_deliveries WHERE job_id = $1", job_id) == "job.failed"


async def test_the_broker_dead_letters_at_the_delivery_limit(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """A message that is requeued beyond the delivery limit is dead-lettered, and its job fails."""
    job_id = await jobs.queued()
    body = await jobs.relayed(job_id)
    work = await channel.get_queue(work_queue("tiny"), ensure=False)
    await channel.default_exchange.publish(aio_pika.Message(body), work.name)
    async with work.iterator(timeout=10) as deliveries:
        for _ in range(WORK_DELIVERY_LIMIT + 1):
            await (await anext(deliveries)).reject(requeue=True)
    await eventually(lambda: _drained(pool, broker, jobs), what="the message was ingested")
    letter = await jobs.letter(job_id)
    assert (await jobs.status(job_id), letter["reason"], letter["body"]) == ("failed", "delivery_limit", body)
    assert await work.get(fail=False) is None


async def test_a_message_that_comes_twice_changes_nothing(pool: Database, jobs: Jobs) -> None:
    """A redelivered message finds its letter complete and leaves it unchanged."""
    job_id = await jobs.queued()
    body = await jobs.relayed(job_id)
    for _ in range(2):
        await ingest(pool, body, DELIVERY_LIMIT)
    assert await ingest(pool, body, REJECTED) is Ingested.COMPLETED
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1
    assert b"delivery_limit" in (await jobs.letter(job_id))["x_death"].encode()


async def test_one_message_twice_at_once_is_one_letter(pool: Database, jobs: Jobs) -> None:
    """Concurrent ingests of copies of a message write one letter."""
    job_id = await jobs.queued()
    body = await jobs.relayed(job_id)
    results = await asyncio.gather(*(ingest(pool, body, DELIVERY_LIMIT) for _ in range(4)))
    assert results.count(Ingested.FAILED) == 1
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 1


@pytest.mark.parametrize("headers", [REJECTED, DELIVERY_LIMIT, {}, {"x-death": "garbage"}, {"x-death": [1]}])
async def test_a_message_that_says_nothing_new_is_dropped(pool: Database, jobs: Jobs, headers: dict[str, Any]) -> None:
    """A message of a running job, of an older generation or of a purged job changes nothing."""
    running = await jobs.running()
    newer = await jobs.queued(generation="2")
    purged = aged_id(timedelta(days=100))
    await jobs.execute("UPDATE instance SET purged_before = now() - interval '99 days'")
    for job_id in (running, newer, purged):
        for body in (message(job_id), await jobs.relayed(job_id)):
            assert await ingest(pool, body, headers) is Ingested.DROPPED
    assert (await jobs.status(running), await jobs.status(newer)) == ("running", "queued")
    assert await jobs.value("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.parametrize("forged", ["version 1", "another database", "another generation"])
async def test_a_forged_delivery_limit_fails_no_job(pool: Database, jobs: Jobs, forged: str) -> None:
    """The broker's record is a header that anyone can write: the message must be one that the relay sent."""
    job_id = await jobs.queued()
    bodies = {
        "version 1": message(job_id),
        "another database": complete_message(job_id, jobs.tenant),
        "another generation": await jobs.relayed(job_id, generation=2),
    }
    assert await ingest(pool, bodies[forged], DELIVERY_LIMIT) is Ingested.DROPPED
    assert await jobs.status(job_id) == "queued"
    assert await ingest(pool, await jobs.relayed(job_id), DELIVERY_LIMIT) is Ingested.FAILED


async def test_a_message_without_a_tenant_completes_its_own_letter_alone(pool: Database, jobs: Jobs) -> None:
    """One of version 1 must be the very message that the letter holds: any other could be forged."""
    job_id = await jobs.dead()
    forged = encode(Render(job_id, 1, "tiny", f"00-{'1' * 32}-{'2' * 16}-01"))
    assert await ingest(pool, forged, REJECTED) is Ingested.DROPPED
    assert (await jobs.letter(job_id))["x_death"] is None
    assert await ingest(pool, message(job_id), REJECTED) is Ingested.COMPLETED
    assert (await jobs.letter(job_id))["x_death"] is not None


async def test_a_rejected_message_of_a_queued_job_is_dropped(pool: Database, jobs: Jobs) -> None:
    """Only the delivery limit fails a queued job; a rejected message without a letter is dropped."""
    job_id = await jobs.queued()
    assert await ingest(pool, message(job_id), REJECTED) is Ingested.DROPPED
    assert await jobs.status(job_id) == "queued"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff\xfe not JSON",
        b"[" * 100_000,
        b'{"type":"darkroom.render.v9"}',
        b'{"type":"\\u0000\\ud83d\\ude00"}',
        b'{"type":"' + b"x" * 10_000 + b'"}',
        message(uuid4(), generation=2**40),
        message(uuid4(), generation=0),
    ],
)
async def test_an_undecodable_message_is_kept_exactly(pool: Database, jobs: Jobs, body: bytes) -> None:
    """An undecodable message is recorded once, with its exact bytes, its headers and a bounded reason."""
    assert await ingest(pool, body, REJECTED) is Ingested.UNDECODABLE
    assert await ingest(pool, body, {}) is Ingested.DROPPED
    [letter] = await jobs.fetch("SELECT * FROM dead_letters")
    assert (letter["kind"], letter["status"], letter["reason"]) == ("undecodable", "open", "undecodable")
    assert letter["body"] == body
    assert msgspec.json.decode(letter["headers"]) == REJECTED
    error = msgspec.json.decode(letter["error"])
    assert 0 < len(error["message"]) <= 1000
    assert (error["retryable"], error["stage"]) == (False, "delivery")


async def test_headers_of_every_type_are_kept(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """Headers that JSON can't represent are stored without loss."""
    stamp = datetime(2026, 11, 21, 12, tzinfo=UTC)
    await _bury(channel, b"?", {"text": "a\x00b", "when": stamp, "nested": {"list": [1, 2.5, None, True]}})
    await Ingest(pool, broker).run_once()
    headers = msgspec.json.decode(await jobs.value("SELECT headers FROM dead_letters"))
    assert headers["text"] == {"$bytes": "YQBi"}
    assert headers["when"] == {"$timestamp": "2026-11-21T12:00:00+00:00"}
    assert headers["nested"] == {"list": [1, 2.5, None, True]}


async def test_a_long_queue_is_drained_in_batches(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """A round ingests a bounded batch and reports whether more messages may wait."""
    for number in range(BATCH + 1):
        await _bury(channel, b"garbage %d" % number)
    ingest_loop = Ingest(pool, broker)
    assert await ingest_loop.run_once() is True
    assert await ingest_loop.run_once() is False
    assert await jobs.value("SELECT count(*) FROM dead_letters") == BATCH + 1
    assert await _waiting(channel) == 0


async def test_nothing_is_taken_while_postgres_is_away(
    private_postgres: DatabaseFactory, broker: Broker, channel: AbstractChannel
) -> None:
    """While Postgres is away messages stay in the queue undelivered; then they are recorded."""
    server = await private_postgres()
    url = await server.create_database()
    await _bury(channel, b"garbage")
    async with Database(DatabaseSettings(database_url=url), "test") as pool:
        loop = Ingest(pool, broker)
        await server.stop()
        with pytest.raises(DatabaseUnavailableError):
            await loop.run_once()
        queue = await channel.get_queue(DEAD_QUEUE, ensure=False)
        untouched = await queue.get(timeout=5)
        assert untouched.redelivered is False
        await untouched.nack(requeue=True)
        await server.start()
        await loop.run_once()
        async with Jobs.connected(url) as jobs:
            assert await jobs.value("SELECT body FROM dead_letters") == b"garbage"


async def test_a_failed_commit_gives_the_message_back(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """A message whose commit fails returns to the queue and is recorded by a later round."""
    await _bury(channel, b"garbage")
    await jobs.execute("ALTER TABLE dead_letters RENAME TO hidden")
    loop = Ingest(pool, broker)
    with pytest.raises(Exception, match="dead_letters"):
        await loop.run_once()
    await jobs.execute("ALTER TABLE hidden RENAME TO dead_letters")
    await eventually(lambda: _drained_body(loop, jobs), what="the message came back")


async def _drained_body(loop: Ingest, jobs: Jobs) -> bool:
    await loop.run_once()
    return bool(await jobs.value("SELECT count(*) FROM dead_letters") == 1)


async def test_a_lost_connection_is_opened_again(
    pool: Database, jobs: Jobs, broker: Broker, channel: AbstractChannel
) -> None:
    """A round opens a new connection after a loss and drains the queue."""
    loop = Ingest(pool, broker)
    await loop.run_once()
    await broker.close()
    await _bury(channel, b"garbage")
    await eventually(lambda: _drained_body(loop, jobs), what="the queue is drained again")


async def test_a_round_raises_while_the_broker_is_away(pool: Database) -> None:
    """Without RabbitMQ a round raises BrokerUnavailableError."""
    with pytest.raises(BrokerUnavailableError):
        await Ingest(pool, Broker("amqp://u:p@127.0.0.1:1/none", "test")).run_once()
