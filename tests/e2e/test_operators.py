"""Operators pause a model and drain a worker while jobs come in."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from darkroom_contracts.api import Scope
from darkroom_contracts.topology import work_queue
from tests.support.http_client import Client
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

QUEUES, WORKERS = "/v1/operations/queues", "/v1/operations/workers"


@pytest.fixture
async def desk(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client of operations with an operator's key."""
    headers = {"Authorization": f"Bearer {await stack.key('desk', Scope.OPERATOR)}"}
    async with httpx2.AsyncClient(base_url=stack.operations.url, headers=headers, trust_env=False) as http:
        yield http


async def state(desk: httpx2.AsyncClient, worker: str) -> str:
    """Return what the list says about a worker."""
    (shown,) = (await desk.get(WORKERS, params={"worker": worker})).json()["workers"]
    return str(shown["state"])


async def becomes(desk: httpx2.AsyncClient, worker: str, wanted: str) -> None:
    async def there() -> bool:
        return await state(desk, worker) == wanted

    await eventually(there, seconds=30, what=f"{worker} is {wanted}")


async def test_a_paused_model_accepts_jobs_and_renders_none(
    stack: Stack, client: Client, desk: httpx2.AsyncClient
) -> None:
    """Its worker finishes its job and leaves the queue alone; resumed it works the queue off."""
    model = stack.spare_model()
    worker = await stack.worker("imogen", model=model)
    rendering = await client.submit(model, steps=300)
    await client.rendering(rendering)
    assert await state(desk, "imogen") == "busy"
    assert (await desk.post(f"{QUEUES}/{model}/pause", json={"reason": "new weights"})).status_code == 200
    await eventually(lambda: "the model is paused" in worker.output(), what="the worker has read of the pause")
    waiting = [await client.submit(model) for _ in range(3)]
    await client.succeeded(rendering)
    await becomes(desk, "imogen", "paused")

    async def queued() -> bool:
        (queue,) = (await desk.get(QUEUES, params={"model": model})).json()["queues"]
        return (queue["queued"], queue["in_flight"], queue["broker"]["ready"]) == (3, 0, 3)

    await eventually(queued, seconds=30, what="the jobs wait in the database and in RabbitMQ")
    assert (await desk.post(f"{QUEUES}/{model}/resume")).json()["resumed"]
    await client.succeeded(*waiting)
    assert await worker.stop() == 0


async def test_a_drained_worker_leaves_its_jobs_to_the_others(
    stack: Stack, client: Client, desk: httpx2.AsyncClient
) -> None:
    """It finishes what it renders; later jobs are rendered by its colleague alone, and it stops without losing one."""
    model = stack.spare_model()
    drained = await stack.worker("vivian", model=model)
    rendering = await client.submit(model, steps=300)
    await client.rendering(rendering)
    assert (await desk.post(f"{WORKERS}/vivian/drain", json={"reason": "a loud fan"})).status_code == 200
    await becomes(desk, "vivian", "draining")
    colleague = await stack.worker("walker", model=model)
    later = [await client.submit(model) for _ in range(5)]
    await client.succeeded(rendering, *later)
    assert {(await stack.ledger.attempts(job_id))[-1].worker for job_id in later} == {"walker"}
    await becomes(desk, "vivian", "drained")
    assert await stack.queues.waiting(work_queue(model)) == 0
    assert [await worker.stop() for worker in (drained, colleague)] == [0, 0]
    assert (await desk.get(WORKERS, params={"model": model})).json()["workers"] == []
