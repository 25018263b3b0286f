"""The broker's own delays and limits."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractChannel

from chassis.broker import Broker
from chassis.publishing import Publisher
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, Lanes, topology, work_queue
from tests.support.http_client import Client
from tests.support.queues import Queues
from tests.support.stack import RETRY_DELAYS, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

OTHER_MODEL = "other"
MODEL = "one"
LATEST_SECONDS = 3.0
"""How much later than its lane says a message may come on a busy machine."""


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    broker = Broker(vhost, "test")
    yield broker
    await broker.close()


async def test_every_retry_lane_delivers_back(broker: Broker, vhost: str) -> None:
    """A message waits in each lane as long as the lane says, then returns to its own model's queue, headers and all."""
    lanes = Lanes.of(RETRY_DELAYS)
    await broker.declare(topology([MODEL, OTHER_MODEL], lanes))
    publisher, started = Publisher(broker), time.monotonic()
    for lane in lanes:
        headers = {LANE_HEADER: lane.name, JOB_ID_HEADER: f"job of {lane.name}"}
        await publisher.publish(RETRY_EXCHANGE, MODEL, lane.name.encode(), headers, "text/plain")

    waited: dict[str, float] = {}
    async with Queues(vhost).channel() as channel:
        queue = await channel.get_queue(work_queue(MODEL))
        async with asyncio.timeout(30), queue.iterator() as messages:
            async for message in messages:
                waited[message.body.decode()] = time.monotonic() - started
                assert message.headers[JOB_ID_HEADER] == f"job of {message.body.decode()}"
                await message.ack()
                if len(waited) == len(list(lanes)):
                    break
    assert len(waited) == 9
    for lane in lanes:
        assert lane.ttl_ms / 1000 <= waited[lane.name] < lane.ttl_ms / 1000 + LATEST_SECONDS
    assert await Queues(vhost).waiting(work_queue(OTHER_MODEL)) == 0


async def test_a_message_at_its_delivery_limit_kills_its_job(stack: Stack, client: Client) -> None:
    """A message over the delivery limit becomes a dead letter with the broker's headers, and its job ends as dead.

    Replayed, the job is rendered.
    """
    model = stack.spare_model()
    job_id = await client.submit(model)
    async with stack.queues.channel() as channel:
        body = await _wear_out(channel, work_queue(model))
    job = await client.finished(job_id)
    assert (job.status, job.dead_lettered, job.attempt) == (JobStatus.FAILED, True, 0)
    assert job.error is not None
    assert job.error.code == "delivery_limit"
    (letter,) = await stack.ledger.dead_letters(job_id)
    assert (letter["reason"], letter["status"], letter["body"]) == ("delivery_limit", "open", body)

    worker = await stack.worker("mender", model=model)
    await stack.command("dead-letters", "replay", str(letter["id"]), "--json")
    (job,) = await client.succeeded(job_id)
    assert (job.generation, job.attempt) == (2, 1)
    await worker.stop()


async def _wear_out(channel: AbstractChannel, name: str) -> bytes:
    """Take the queue's one message and give it back until the broker has enough; the message's bytes."""
    queue = await channel.get_queue(name)
    bodies: set[bytes] = set()

    async def gone() -> bool:
        message = await queue.get(fail=False)
        if message is None:
            return (
                bool(bodies) and (await channel.declare_queue(name, passive=True)).declaration_result.message_count == 0
            )
        bodies.add(message.body)
        await message.reject(requeue=True)
        return False

    await eventually(gone, seconds=60, what="the message is dead")
    (body,) = bodies
    return body
