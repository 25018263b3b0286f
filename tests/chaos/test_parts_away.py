"""RabbitMQ, PostgreSQL and S3 go away under load and come back."""

import asyncio

import pytest

from darkroom_contracts.states import JobStatus
from tests.support.fixtures import BrokerFactory, DatabaseFactory, ObjectStoreFactory
from tests.support.load import Load
from tests.support.stack import MODEL
from tests.support.stack_fixtures import StackFactory
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
HEALED_SECONDS = 120
"""Nothing that an outage leaves behind waits for longer."""


@pytest.mark.long
async def test_rabbitmq_restarted_under_load(private_rabbitmq: BrokerFactory, start_stack: StackFactory) -> None:
    """Without RabbitMQ running jobs settle and posts are accepted; with it back each job has had one attempt.

    It is lost the hard way first, under running jobs, and then restarted the polite way.
    """
    broker = await private_rabbitmq()
    stack = await start_stack(broker=broker)
    await asyncio.gather(stack.worker("one"), stack.worker("two"))
    async with await stack.client() as client:
        slow = [await client.submit(MODEL, steps=500) for _ in range(2)]
        for job_id in slow:
            await client.rendering(job_id)
        async with Load(client, MODEL, pace=2) as load:
            await load.accepted_more(5)
            await broker.kill()
            assert [(await client.job(job_id)).status for job_id in slow] == [JobStatus.RUNNING] * 2
            await client.succeeded(*slow)
            await load.accepted_more(5)
            await broker.start()
            await client.succeeded(load.accepted[-1])
            await broker.restart()
            await load.accepted_more(5)
        assert set(load.answers) == {202}
        assert load.unanswered == 0
        await client.succeeded(*load.accepted)
        everything = [*slow, *load.accepted]
        assert await stack.ledger.outcomes(*everything) == ["succeeded"] * len(everything)


async def test_postgres_restarted_under_load(private_postgres: DatabaseFactory, start_stack: StackFactory) -> None:
    """Posts are answered 202 or 503 and nothing else; every 202 is rendered after Postgres is back."""
    database = await private_postgres()
    stack = await start_stack(database=database)
    await stack.worker("one")
    async with await stack.client() as client:
        slow = await client.submit(MODEL, steps=300)
        await client.rendering(slow)
        async with Load(client, MODEL, pace=0.2) as load:
            await load.accepted_more(5)
            await database.stop()
            await eventually(lambda: 503 in load.answers, what="a post is refused")
            await database.start()
            await load.accepted_more(5)
        assert set(load.answers) == {202, 503}
        assert load.unanswered == 0
        await client.succeeded(slow, *load.accepted)
        outcomes = await stack.ledger.outcomes(slow, *load.accepted)
        assert outcomes.count("succeeded") == 1 + len(load.accepted)


@pytest.mark.long
async def test_postgres_killed_under_load(private_postgres: DatabaseFactory, start_stack: StackFactory) -> None:
    """Whatever its death took from workers in the middle of their jobs, nothing of it waits for long when it is back.

    Claims may be lost with it, settles may be in doubt, and messages are in the workers' hands.
    """
    database = await private_postgres()
    stack = await start_stack(database=database)
    await asyncio.gather(*(stack.worker(name) for name in ("one", "two", "three")))
    async with await stack.client() as client:
        slow = [await client.submit(MODEL, steps=200) for _ in range(2)]
        for job_id in slow:
            await client.rendering(job_id)
        async with Load(client, MODEL, pace=0.5) as load:
            await load.accepted_more(10)
            await database.kill()
            await eventually(lambda: 503 in load.answers, what="a post is refused")
            await database.start()
            async with asyncio.timeout(HEALED_SECONDS):
                await load.accepted_more(5)
                left_behind = [*slow, *load.accepted]
                await client.succeeded(*left_behind, seconds=HEALED_SECONDS)
        assert set(load.answers) == {202, 503}
        await client.succeeded(*load.accepted)
    outcomes = await stack.ledger.outcomes(*slow, *load.accepted)
    assert outcomes.count("succeeded") == len(slow) + len(load.accepted)
    assert await stack.ledger.count("dead_letters") == 0


@pytest.mark.long
async def test_s3_down_for_longer_than_the_first_retry(
    private_s3: ObjectStoreFactory, start_stack: StackFactory
) -> None:
    """A job whose pictures can't be stored is tried again until they can, and its attempts tell why."""
    store = await private_s3()
    stack = await start_stack(store=store)
    await stack.worker("one")
    async with await stack.client() as client:
        await store.stop()
        job_id = await client.submit(MODEL)

        async def retried_twice() -> bool:
            return await stack.ledger.outcomes(job_id) == ["retried", "retried"]

        await eventually(retried_twice, seconds=60, what="the first retry failed too")
        waiting = await client.job(job_id)
        assert waiting.status == JobStatus.QUEUED
        assert waiting.error is not None
        assert waiting.error.code == "storage_unavailable"
        await store.start()
        (job,) = await client.succeeded(job_id)
        attempts = await stack.ledger.attempts(job_id)
        assert [attempt.outcome for attempt in attempts][-1] == "succeeded"
        assert {attempt.code for attempt in attempts[:-1]} == {"storage_unavailable"}
        assert (await client.download(job.outputs[0])).status_code == 200
