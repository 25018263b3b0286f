"""Messages that come twice, and workers that come in twos."""

import asyncio
from uuid import UUID

import pytest

from darkroom_contracts.messages import v1
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import work_queue
from tests.support.http_client import Client
from tests.support.processes import ServiceProcess
from tests.support.queues import TRACEPARENT
from tests.support.stack import DROPPED, MODEL, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

BURST = 50


async def test_a_duplicate_message_while_the_first_runs(
    stack: Stack, client: Client, workers: dict[str, ServiceProcess]
) -> None:
    """A second message for a running job is taken by the free worker, recognised and dropped."""
    job_id = await client.submit(MODEL, steps=250)
    await client.rendering(job_id)
    (attempt,) = await stack.ledger.attempts(job_id)
    (free,) = (worker for name, worker in workers.items() if name != attempt.worker)
    dropped = await free.metric(DROPPED)
    await stack.queues.publish_job(MODEL, v1.Render(UUID(job_id), 1, MODEL, TRACEPARENT))

    async def taken() -> bool:
        return await free.metric(DROPPED) == dropped + 1

    await eventually(taken, what="the free worker dropped the duplicate")
    assert (await client.job(job_id)).status == JobStatus.RUNNING
    await client.succeeded(job_id)
    assert await stack.ledger.outcomes(job_id) == ["succeeded"]
    assert await stack.queues.waiting(work_queue(MODEL)) == 0


async def test_two_workers_share_a_burst(stack: Stack, client: Client, workers: dict[str, ServiceProcess]) -> None:
    """Of fifty jobs posted at once, each is rendered once, and both workers do their part."""
    job_ids = await asyncio.gather(*(client.submit(MODEL) for _ in range(BURST)))
    await client.succeeded(*job_ids)
    attempts = await stack.ledger.attempts(*job_ids)
    assert [attempt.outcome for attempt in attempts] == ["succeeded"] * BURST
    assert {attempt.worker for attempt in attempts} == set(workers)
