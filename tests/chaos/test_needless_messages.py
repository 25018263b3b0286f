"""Jobs wait, parts stand still, workers freeze: while no message is lost, none is published again."""

import asyncio
import time

import pytest

from darkroom_contracts.topology import work_queue
from tests.support.fixtures import BrokerFactory, DatabaseFactory
from tests.support.http_client import Client
from tests.support.stack import LEASE_SECONDS, MODEL, WARM_SECONDS, Stack
from tests.support.stack_fixtures import StackFactory
from tests.support.suspension import suspended_queue
from tests.support.sweeping import SweepWatch, lay_out_backlog, wait_for_messages
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

BACKLOG = 10_000
OVERTAKING = 100
"""Messages that come after a frozen worker's; with SPACING_SECONDS between them, far more than a proof needs."""
SPACING_SECONDS = 2
SUSPENDED_SECONDS = 65
"""Longer than the lead with which one message overtakes another."""
LINE = 120
IN_HAND = 4
"""Messages that two workers may hold when their queue's leader stops."""
PROOFS = 3
"""Rounds of the sweep in which every answer and claim becomes old enough to be a proof."""


@pytest.mark.long
async def test_a_frozen_worker_on_a_long_backlog(stack: Stack, client: Client) -> None:
    """Ten thousand wait, and one is held by a frozen worker: it alone may be published again, and others go on."""
    model = stack.spare_model()
    line = await lay_out_backlog(stack, client, model, BACKLOG, SPACING_SECONDS)
    await wait_for_messages(stack, model, BACKLOG)
    watch = await SweepWatch.begun(stack)
    sleeper = stack.launch_worker("sleeper", model=model, fault=("freeze", "before_claim"))
    await eventually(lambda: sleeper.frozen, seconds=WARM_SECONDS, what="the worker froze with a message in its hands")

    other = await stack.worker("other", model=model)
    await client.finished(line[OVERTAKING], seconds=120)
    await watch.rounds(PROOFS)
    assert await watch.published() <= 1
    sleeper.thaw()
    await watch.rounds(1)
    assert await watch.published() <= 1
    assert await _waiting(stack, model) > BACKLOG / 2, "too few were left to be misjudged"
    other.kill()
    sleeper.kill()
    await _forget(stack, model)


@pytest.mark.long
async def test_a_suspended_leader(private_rabbitmq: BrokerFactory, start_stack: StackFactory) -> None:
    """A queue whose leader answers nobody for a minute is not empty, whether its workers are idle or render."""
    broker = await private_rabbitmq()
    stack = await start_stack(broker=broker)
    await asyncio.gather(stack.worker("busy"), stack.worker("idle"))
    async with await stack.client() as client:
        slow = await client.submit(MODEL, steps=600, width=128, height=128, num_images=2)
        await client.rendering(slow)
        await _has_asked(stack, "idle")
        watch = await SweepWatch.begun(stack)
        line = await asyncio.gather(*(client.submit(MODEL, steps=20) for _ in range(LINE)))
        await client.running(line[3])
        async with suspended_queue(broker, stack.places.amqp_url, work_queue(MODEL)):
            suspended_at, before = time.monotonic(), await _waiting(stack, MODEL)
            late = await client.submit(MODEL)
            while time.monotonic() < suspended_at + SUSPENDED_SECONDS:
                await watch.rounds(1)
            assert await _waiting(stack, MODEL) > max(0, before - IN_HAND), "the queue was not suspended"
            assert await watch.published() == 0
        await client.succeeded(slow, late, *line, seconds=120)
        await watch.rounds(PROOFS)
    assert await watch.published() == 0


@pytest.mark.long
async def test_busy_lanes(stack: Stack, client: Client) -> None:
    """Messages that go round in the retry lanes keep their jobs from being published again, and other models' too."""
    busy, other = stack.spare_model(), stack.spare_model()
    job_ids = await asyncio.gather(*(client.submit(model, steps=1) for model in (busy, other) for _ in range(10)))
    await stack.ledger.rows(
        "UPDATE jobs SET next_attempt_at = now() + interval '60 seconds' WHERE id = ANY ($1::text[]::uuid[])", job_ids
    )
    watch = await SweepWatch.begun(stack)
    workers = await asyncio.gather(stack.worker("parker", model=busy), stack.worker("neighbour", model=other))
    await asyncio.gather(_has_asked(stack, "parker"), _has_asked(stack, "neighbour"))
    await watch.rounds(PROOFS)
    await client.succeeded(*job_ids, seconds=90)
    await watch.rounds(1)
    assert await watch.published() == 0
    assert await stack.ledger.outcomes(*job_ids) == ["succeeded"] * len(job_ids)
    await asyncio.gather(*(worker.stop() for worker in workers))


@pytest.mark.long
async def test_a_paused_model(stack: Stack, client: Client) -> None:
    """Its worker found the queue empty before the pause, and asks no more: what comes then waits, and is not lost."""
    model = stack.spare_model()
    worker = await stack.worker("rester", model=model)
    await _has_asked(stack, "rester")
    watch = await SweepWatch.begun(stack)
    await stack.ledger.rows(
        "INSERT INTO paused_models (model, paused_by, reason) VALUES ($1, 'a test', 'to rest')", model
    )
    job_ids = await asyncio.gather(*(client.submit(model, steps=1) for _ in range(10)))
    await wait_for_messages(stack, model, len(job_ids))
    await watch.rounds(PROOFS)
    assert await stack.ledger.outcomes(*job_ids) == []
    await stack.ledger.rows("DELETE FROM paused_models WHERE model = $1", model)
    await client.succeeded(*job_ids)
    await watch.rounds(PROOFS)
    assert await watch.published() == 0
    assert await stack.ledger.outcomes(*job_ids) == ["succeeded"] * len(job_ids)
    await worker.stop()


@pytest.mark.long
async def test_postgres_away_for_longer_than_a_lease(
    private_postgres: DatabaseFactory, start_stack: StackFactory
) -> None:
    """Workers can neither claim nor tell what they know; what they held is claimed when Postgres is back."""
    database = await private_postgres()
    stack = await start_stack(database=database)
    async with await stack.client() as client:
        line = await lay_out_backlog(stack, client, MODEL, OVERTAKING, SPACING_SECONDS, steps=20)
        await asyncio.gather(stack.worker("one"), stack.worker("two"))
        watch = await SweepWatch.begun(stack)
        await client.running(line[5])
        await database.stop()
        await asyncio.sleep(4 * LEASE_SECONDS)
        await database.start()
        await client.succeeded(*line, seconds=120)
        await watch.rounds(PROOFS)
    assert await watch.published() == 0


@pytest.mark.long
async def test_two_workers_at_a_short_queue(stack: Stack, client: Client) -> None:
    """One finds the queue empty just when the other has fetched its last message: that message is not lost."""
    model = stack.spare_model()
    workers = await asyncio.gather(stack.worker("left", model=model), stack.worker("right", model=model))
    watch = await SweepWatch.begun(stack)
    sweeping = asyncio.create_task(watch.rounds(1 + PROOFS))
    job_ids: list[str] = []
    while not sweeping.done():
        batch = await asyncio.gather(*(client.submit(model, steps=1) for _ in range(3)))
        await client.succeeded(*batch)
        job_ids += batch
    await sweeping
    await asyncio.gather(_has_asked(stack, "left"), _has_asked(stack, "right"))
    await watch.rounds(PROOFS)
    assert await watch.published() == 0
    assert {attempt.worker for attempt in await stack.ledger.attempts(*job_ids)} == {"left", "right"}
    assert await stack.ledger.outcomes(*job_ids) == ["succeeded"] * len(job_ids)
    await asyncio.gather(*(worker.stop() for worker in workers))


async def _has_asked(stack: Stack, worker: str) -> None:
    """Wait until the worker told that it found its queue empty, so long ago that it could prove a loss."""

    async def asked() -> bool:
        rows = await stack.ledger.rows(
            "SELECT FROM worker_sessions WHERE worker = $1 AND ended_at IS NULL AND empty_before_at IS NOT NULL", worker
        )
        return bool(rows)

    await eventually(asked, seconds=90, what=f"{worker} found its queue empty")


async def _waiting(stack: Stack, model: str) -> int:
    rows = await stack.ledger.rows("SELECT count(*) FROM jobs WHERE model = $1 AND status = 'queued'", model)
    return int(rows[0]["count"])


async def _forget(stack: Stack, model: str) -> None:
    """End what waits for a model, so that it concerns no other test."""
    await stack.ledger.rows(
        "SELECT finish_job(id, generation, NULL, 'canceled') FROM jobs WHERE queue = $1 AND status = 'queued'", model
    )
