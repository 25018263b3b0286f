"""A worker sleeps through its lease and comes back as a zombie."""

import pytest

from darkroom_contracts.topology import work_queue
from tests.support.http_client import Client
from tests.support.processes import ServiceProcess
from tests.support.stack import DISCARDED, MODEL, WARM_SECONDS, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

RENDERED = "darkroom_render_seconds_count"
"""Renders that a worker finished."""


async def test_a_worker_frozen_while_rendering_is_replaced(
    stack: Stack, client: Client, workers: dict[str, ServiceProcess]
) -> None:
    """A job whose worker freezes is rendered by another; thawed, the first one gives up and goes on with other work."""
    job_id = await client.submit(MODEL, steps=200)
    await client.rendering(job_id)
    (attempt,) = await stack.ledger.attempts(job_id)
    sleeper = workers[attempt.worker]
    discarded = await sleeper.metric(DISCARDED)
    sleeper.freeze()

    (before,) = await client.succeeded(job_id)
    sleeper.thaw()
    await stack.rendered_by(attempt.worker, client)
    assert await sleeper.metric(DISCARDED) == discarded + 1
    (after,) = await client.succeeded(job_id)
    assert after.completed_at == before.completed_at
    lost, succeeded = await stack.ledger.attempts(job_id)
    assert (lost.worker, lost.outcome) == (attempt.worker, "lost")
    assert succeeded.worker != attempt.worker
    assert succeeded.outcome == "succeeded"


async def test_a_worker_that_wakes_before_another_took_its_job(stack: Stack, client: Client) -> None:
    """Reaped meanwhile, the job is still to be had: the worker claims it again, and what it rendered is the result."""
    model = stack.spare_model()
    napper = await stack.worker("napper", model=model)
    job_id = await client.submit(model, steps=200)
    await client.rendering(job_id)
    rendered = await napper.metric(RENDERED)
    napper.freeze()

    async def reaped() -> bool:
        return await stack.ledger.outcomes(job_id) == ["lost"]

    await eventually(reaped, seconds=30, what="the frozen worker's lease is over")
    napper.thaw()
    await client.succeeded(job_id)
    attempts = await stack.ledger.attempts(job_id)
    assert [(attempt.worker, attempt.outcome) for attempt in attempts] == [("napper", "lost"), ("napper", "succeeded")]
    assert await napper.metric(RENDERED) == rendered + 1, "what was rendered is rendered once more"
    assert len(stack.pictures(job_id)) == 1
    assert await napper.stop() == 0
    assert await stack.queues.waiting(work_queue(model)) == 0


@pytest.mark.long
async def test_a_worker_frozen_before_it_settles_is_refused(stack: Stack, client: Client) -> None:
    """The settle of a worker whose lease ran out changes nothing: the other's picture and receipt stand."""
    model = stack.spare_model()
    zombie = stack.launch_worker("zombie", model=model, fault=("freeze", "after_upload"))
    await zombie.ready(WARM_SECONDS)
    job_id = await client.submit(model, steps=5)
    await eventually(lambda: zombie.frozen, seconds=30, what="the worker froze between upload and settle")

    # Its second channel may hold the new message too, until the broker misses its heartbeats.
    heir = await stack.worker("heir", model=model)
    (before,) = await client.succeeded(job_id)
    zombie.thaw()

    async def refused() -> bool:
        return await zombie.metric(DISCARDED) == 1

    await eventually(refused, what="the settle was tried and refused")
    assert await zombie.stop() == 0
    (after,) = await client.succeeded(job_id)
    assert after.completed_at == before.completed_at
    assert after.metrics == before.metrics
    attempts = await stack.ledger.attempts(job_id)
    assert [(attempt.worker, attempt.outcome) for attempt in attempts] == [("zombie", "lost"), ("heir", "succeeded")]
    assert len(stack.pictures(job_id)) == 1
    assert await heir.stop() == 0
    assert await stack.queues.waiting(work_queue(model)) == 0
