"""One job renders and one is stored, and no message is held idle."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from gpu_consumer import app
from gpu_consumer.pictures import png
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop
from tests.support.models import job_input
from tests.support.waiting import eventually


class SlowStorage:
    """Lets a picture through each time the test says so, and counts."""

    def __init__(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        self._put = line.connections.storage.put
        self._passes = asyncio.Semaphore(0)
        self.at_work = 0
        self.most_at_work = 0
        self.begun = 0
        monkeypatch.setattr(line.connections.storage, "put", self.put)

    async def put(self, *arguments: Any) -> None:
        self.begun += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await self._passes.acquire()
        await self._put(*arguments)
        self.at_work -= 1

    def let(self, pictures: int) -> None:
        for _ in range(pictures):
            self._passes.release()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def statuses(shop: Workshop, jobs: list[UUID]) -> list[str]:
    return [(await shop.job(job))["status"] for job in jobs]


async def test_a_job_renders_while_its_predecessor_is_stored(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second job is rendered to the end before the first is stored, and the third waits in the queue."""
    shop = line.workshop
    storage = SlowStorage(line, monkeypatch)
    rendered_before = metric("darkroom_render_seconds_count")
    jobs = [await shop.submit() for _ in range(4)]
    line.start()
    await eventually(lambda: storage.begun == 1)
    second = await shop.reached(jobs[1], "running")
    await eventually(lambda: metric("darkroom_render_seconds_count") == rendered_before + 2)
    assert second["started_at"] is not None
    assert await statuses(shop, jobs) == ["running", "running", "queued", "queued"]
    assert await shop.waiting() == 2, "no third message is held while both slots are taken"
    storage.let(4)
    for job in jobs:
        await shop.reached(job, "succeeded")
    assert storage.most_at_work == 1


async def test_a_third_job_is_taken_as_soon_as_the_first_is_stored(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot of a stored job takes the next message while the second job is stored."""
    shop = line.workshop
    storage = SlowStorage(line, monkeypatch)
    jobs = [await shop.submit() for _ in range(3)]
    line.start()
    await eventually(lambda: storage.begun == 1)
    storage.let(1)
    await shop.reached(jobs[2], "running")
    assert (await statuses(shop, jobs))[:2] == ["succeeded", "running"]
    storage.let(2)
    await shop.reached(jobs[2], "succeeded")


async def test_the_next_render_begins_before_a_job_is_stored(
    workshop: Workshop, warm_process: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backlog the GPU has its next render before anything is encoded; at its end a job is stored at once."""
    monkeypatch.setattr(app, "HEAD_START_SECONDS", 60)
    async with Line(workshop, warm_process) as line:
        claims: list[float] = []
        encode = png.encode

        def noting(*arguments: Any) -> Any:
            claims.append(metric("darkroom_phase_seconds_count", phase="claim") - before)
            return encode(*arguments)

        monkeypatch.setattr(png, "encode", noting)
        before = metric("darkroom_phase_seconds_count", phase="claim")
        jobs = [await workshop.submit(job_input(num_inference_steps=40)) for _ in range(3)]
        line.start()
        for job in jobs:
            await workshop.reached(job, "succeeded")
        assert claims == [2, 3, 3]


async def test_without_overlap_a_job_waits_until_its_predecessor_is_stored(
    workshop: Workshop, warm_process: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DARKROOM_OVERLAP off nothing renders while a job is stored."""
    async with Line(workshop, warm_process, overlap="false") as line:
        storage = SlowStorage(line, monkeypatch)
        jobs = [await workshop.submit() for _ in range(2)]
        line.start()
        await eventually(lambda: storage.begun == 1)
        assert await statuses(workshop, jobs) == ["running", "queued"]
        assert await workshop.waiting() == 1
        storage.let(2)
        await workshop.reached(jobs[1], "succeeded")
        first, second = [await workshop.job(job) for job in jobs]
        assert second["started_at"] >= first["completed_at"]


async def test_the_lease_is_kept_while_storing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow store does not cost the lease: heartbeats go on until the job is settled."""
    shop = line.workshop
    storage = SlowStorage(line, monkeypatch)
    line.start()
    job_id = await shop.submit()
    await eventually(lambda: storage.begun == 1)
    before = (await shop.job(job_id))["lease_expires_at"]

    async def extended() -> bool:
        return bool((await shop.job(job_id))["lease_expires_at"] > before)

    await eventually(extended)
    storage.let(1)
    await shop.reached(job_id, "succeeded")
