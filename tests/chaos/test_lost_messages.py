"""Messages vanish; the jobs that they spoke of are published again once that is shown."""

import asyncio
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest

from darkroom_contracts.topology import JOB_ID_HEADER, work_queue
from tests.support.fixtures import BrokerFactory
from tests.support.http_client import Client
from tests.support.stack import DROPPED, MODEL, Stack
from tests.support.stack_fixtures import StackFactory
from tests.support.sweeping import PROOF_SECONDS, SweepWatch, lay_out_backlog, wait_for_messages
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

PURGED = 40
LINE = 300
"""Jobs in a long queue, one for each SPACING_SECONDS."""
SPACING_SECONDS = 6
LOST = (5, 20, 21)
"""The places in the line of the messages that are lost."""


@pytest.mark.long
async def test_a_purged_queue_s_jobs_are_rendered(stack: Stack, client: Client) -> None:
    """A worker asks the queue, is answered "empty", and within two minutes each job has a message again, and one."""
    model = stack.spare_model()
    job_ids = await asyncio.gather(*(client.submit(model, steps=1) for _ in range(PURGED)))
    await wait_for_messages(stack, model, PURGED)
    purged_at = await _now(stack)
    async with stack.queues.channel() as channel:
        await (await channel.get_queue(work_queue(model))).purge()
    watch = await SweepWatch.begun(stack)

    worker = await stack.worker("asker", model=model)
    asked_at = await _asked(stack, model, purged_at)
    await _published_again(stack, job_ids, asked_at)
    await client.succeeded(*job_ids, seconds=PROOF_SECONDS)
    await watch.rounds(1)
    assert await watch.published() == PURGED
    assert await stack.ledger.outcomes(*job_ids) == ["succeeded"] * PURGED
    assert await worker.metric(DROPPED) == 0
    await worker.stop()


@pytest.mark.long
async def test_a_broker_that_lost_its_data(private_rabbitmq: BrokerFactory, start_stack: StackFactory) -> None:
    """What waited in it is rendered all the same, and so is what comes later: queues and exchanges are made again."""
    broker = await private_rabbitmq()
    stack = await start_stack(broker=broker)
    async with await stack.client() as client:
        job_ids = await asyncio.gather(*(client.submit(MODEL, steps=1) for _ in range(PURGED)))
        await wait_for_messages(stack, MODEL, PURGED)
        await broker.lose()
        await broker.start()
        await broker.create_vhost(urlsplit(stack.places.amqp_url).path.lstrip("/"))
        lost_at = await _now(stack)

        worker = await stack.worker("asker")
        asked_at = await _asked(stack, MODEL, lost_at)
        await _published_again(stack, job_ids, asked_at)
        await client.succeeded(*job_ids, await client.submit(MODEL), seconds=PROOF_SECONDS)
    assert await stack.ledger.outcomes(*job_ids) == ["succeeded"] * PURGED
    assert await worker.metric(DROPPED) == 0


@pytest.mark.long
async def test_single_messages_lost_in_the_middle(stack: Stack, client: Client) -> None:
    """Once later messages are claimed, those that should have come before are published again; nothing else is.

    The queue is not empty at that time: the republish does not wait for its end.
    """
    model = stack.spare_model()
    line = await lay_out_backlog(stack, client, model, LINE, SPACING_SECONDS, steps=8)
    await wait_for_messages(stack, model, LINE)
    lost = [line[place] for place in LOST]
    await _lose(stack, model, lost)
    await wait_for_messages(stack, model, LINE - len(LOST))
    watch = await SweepWatch.begun(stack)

    worker = await stack.worker("passer", model=model)
    passed_at = await _claimed(stack, line[max(LOST) + 1])
    await _published_again(stack, lost, passed_at)
    assert await stack.queues.waiting(work_queue(model)) > 0, "the queue was empty before the loss was shown"
    assert await watch.published() == len(LOST)
    await client.succeeded(*lost, line[-1], seconds=PROOF_SECONDS)
    await watch.rounds(1)
    assert await watch.published() == len(LOST)
    assert await worker.metric(DROPPED) == 0
    await worker.stop()


async def _lose(stack: Stack, model: str, job_ids: list[str]) -> None:
    """Take these jobs' messages away, and give back those before and between them."""
    wanted = set(job_ids)
    async with stack.queues.channel() as channel:
        queue = await channel.get_queue(work_queue(model))
        while wanted:
            message = await queue.get(timeout=10)
            job_id = str(message.headers[JOB_ID_HEADER])
            if job_id in wanted:
                await message.ack()
                wanted.remove(job_id)


async def _now(stack: Stack) -> datetime:
    now: datetime = (await stack.ledger.rows("SELECT clock_timestamp() AS now"))[0]["now"]
    return now


async def _asked(stack: Stack, model: str, since: datetime) -> datetime:
    """When a worker asked the model's queue first since then and was answered "empty", as it told."""
    told: list[datetime] = []

    async def asked() -> bool:
        rows = await stack.ledger.rows(
            "SELECT empty_at FROM worker_sessions WHERE model = $1 AND empty_at > $2", model, since
        )
        told.extend(row["empty_at"] for row in rows)
        return bool(told)

    await eventually(asked, seconds=60, what=f"a worker found the queue of {model} empty")
    return told[0]


async def _claimed(stack: Stack, job_id: str) -> datetime:
    """When the job was claimed."""

    async def claimed() -> bool:
        return bool(await stack.ledger.attempts(job_id))

    await eventually(claimed, seconds=120, what="the queue passed the places of what was lost")
    rows = await stack.ledger.rows("SELECT started_at FROM attempts WHERE job_id = $1::text::uuid", job_id)
    started_at: datetime = rows[0]["started_at"]
    return started_at


async def _published_again(stack: Stack, job_ids: list[str], shown_at: datetime) -> None:
    """Wait until each of these jobs has been published again; fails when one was later than it may be."""
    query = """
        SELECT min(announced_at) AS first, max(announced_at) AS last FROM jobs WHERE id = ANY ($1::text[]::uuid[])
    """

    async def renewed() -> bool:
        return bool((await stack.ledger.rows(query, job_ids))[0]["first"] > shown_at)

    await eventually(renewed, seconds=PROOF_SECONDS + 30, what="what was lost is published again")
    (row,) = await stack.ledger.rows(query, job_ids)
    assert row["last"] - shown_at < timedelta(seconds=PROOF_SECONDS)
