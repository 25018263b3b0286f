"""Messages that come twice, and workers that come in twos."""

import asyncio
from uuid import UUID

import pytest
from contracts.messages import v1
from contracts.states import JobStatus
from contracts.topology import work_queue

from tests.support.http_client import Client
from tests.support.processes import ServiceProcess
from tests.support.queues import TRACEPARENT
from tests.support.stack import MODEL, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

BURST = 50


@pytest.mark.usefixtures("workers")
async def test_a_duplicate_message_while_the_first_runs(stack: Stack, client: Client) -> None:
    """A second message for a running job is taken by the free worker, recognised and dropped."""
    job_id = await client.submit(MODEL, steps=150)
    await client.rendering(job_id)
    await stack.queues.publish_job(MODEL, v1.Render(UUID(job_id), 1, MODEL, TRACEPARENT))

    async def taken() -> bool:
        return await stack.queues.waiting(work_queue(MODEL)) == 0

    await eventually(taken, what="the free worker took the duplicate")
    assert (await client.job(job_id)).status == JobStatus.RUNNING
    await client.succeeded(job_id)
    assert await stack.ledger.outcomes(job_id) == ["succeeded"]


async def test_two_workers_share_a_burst(stack: Stack, client: Client, workers: dict[str, ServiceProcess]) -> None:
    """Of fifty jobs posted at once, each is rendered once, and both workers do their part."""
    job_ids = await asyncio.gather(*(client.submit(MODEL) for _ in range(BURST)))
    await client.succeeded(*job_ids)
    attempts = [attempt for job_id in job_ids for attempt in await stack.ledger.attempts(job_id)]
    assert [attempt.outcome for attempt in attempts] == ["succeeded"] * BURST
    assert {attempt.worker for attempt in attempts} == set(workers)
