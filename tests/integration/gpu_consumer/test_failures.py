"""Failures while rendering: the true reason is recorded, the process replaced, and the next job succeeds."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from prometheus_client import REGISTRY

from darkroom_contracts.api import Receipt
from darkroom_contracts.topology import DEAD_QUEUE
from gpu_consumer.gate import RENDERER
from gpu_consumer.renderer import child_process
from gpu_consumer.renderer.process import Limits, RenderProcess
from gpu_consumer.startup import RenderProcessStuckError
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import Workshop, load
from tests.support import render_faults as faulty
from tests.support.models import job_input
from tests.support.renderers import FAULTY, STAND_IN, rendered_by
from tests.support.waiting import eventually

SILENCE_SECONDS = {STAND_IN: 2.0, FAULTY: 8.0}
"""Time without a sign of life after which a process counts as hung."""
LOSE_ONE = """
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker, ended_at, outcome, error)
    VALUES (gen_random_uuid(), $1, 1, $2, 'anna', now(), 'retried', '{"code": "render_process_lost"}')
"""


@asynccontextmanager
async def faulty_line(shop: Workshop, program: str = FAULTY) -> AsyncIterator[Line]:
    """Start a consumer and its renderer, whose process breaks as a prompt says."""
    home = shop.environment["DARKROOM_MODELS_HOME"]
    process = RenderProcess(load(Path(home) / "tiny"), Limits(step=SILENCE_SECONDS[program]))
    with rendered_by(program):
        async with Line(shop, process) as line:
            line.renewing = asyncio.create_task(line.app.renderer.run())
            await eventually(lambda: process.ready is not None, seconds=120, what="the process is warm")
            line.start()
            yield line
            await line.stop()
            line.renewing.cancel()
            await asyncio.wait([line.renewing])
            await process.stop()


async def next_job_is_fine(shop: Workshop) -> None:
    after = await shop.submit()
    await shop.reached(after, "succeeded", seconds=90)
    assert await shop.outcomes(after) == ["succeeded"]


async def last_error(shop: Workshop, job_id: UUID) -> dict[str, Any]:
    """Return the error of the job's latest attempt, as operators see it."""
    error: dict[str, Any] = msgspec.json.decode((await shop.attempts(job_id))[-1]["error"])
    return error


def losses(reason: str) -> float:
    return REGISTRY.get_sample_value("darkroom_render_process_losses_total", {"reason": reason}) or 0.0


def lost_once_more(reason: str, before: float) -> bool:
    return losses(reason) == before + 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("program", "reasons"),
    [
        pytest.param(
            STAND_IN,
            {
                faulty.KILLED: ("SIGKILL", r"SIGKILL\.", ""),
                faulty.CRASHES: ("SIGSEGV", r"SIGSEGV\.", "Segmentation fault"),
                faulty.HANGS: ("hung", r"hung for 2 s\.", ""),
            },
            id="process",
        ),
        pytest.param(
            FAULTY,
            {faulty.DEVICE_LOST: ("device_lost", "AcceleratorError: CUDA error: an illegal memory", "Traceback")},
            id="device",
        ),
    ],
)
async def test_each_loss_tells_its_reason_and_the_next_job_is_fine(
    workshop: Workshop, program: str, reasons: dict[str, tuple[str, str, str]]
) -> None:
    """Killed, crashed, hung or without its device: the job's record says which, and another process does the next."""
    async with faulty_line(workshop, program):
        for prompt, (kind, message, last_line) in reasons.items():
            before = losses(kind)
            job_id = await workshop.submit(job_input(prompt=prompt))
            job = await workshop.reached_attempt_end(job_id)
            error = msgspec.json.decode(job["error"])
            assert (job["status"], error["code"]) == ("queued", "render_process_lost")
            assert re.search(message, error["message"])
            assert (error["step"], error["steps"]) == (3, 3)
            assert any(last_line in line for line in (await last_error(workshop, job_id))["last_lines"] or [""])
            await eventually(partial(lost_once_more, kind, before))
            await next_job_is_fine(workshop)


@pytest.mark.timeout(300)
async def test_a_process_that_survives_sigkill_is_not_replaced(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs in its driver: the attempt ends as lost in bounded time, and the worker is not ready any more.

    The kernel's refusal to end it is stood in for by a SIGKILL that is not sent.
    """
    async with faulty_line(workshop, STAND_IN) as line:
        monkeypatch.setattr(child_process, "KILL_SECONDS", 0.5)
        monkeypatch.setattr(os, "killpg", lambda pid, number: None)
        job = await workshop.reached_attempt_end(await workshop.submit(job_input(prompt=faulty.HANGS)))
        error = msgspec.json.decode(job["error"])
        assert (job["status"], error["code"]) == ("queued", "render_process_lost")
        assert "hung for 2 s" in error["message"]
        renewing = line.renewing
        assert renewing is not None
        with pytest.raises(RenderProcessStuckError):
            await asyncio.wait_for(renewing, 10)
        assert not line.app.gate.holds(RENDERER)
        with pytest.raises(RuntimeError, match="not loaded"):
            await line.app.renderer.check()


@pytest.mark.timeout(300)
async def test_a_job_that_ends_the_process_three_times_is_poison(workshop: Workshop) -> None:
    """The third loss fails the job and dead-letters its message, and the next job is fine."""
    async with faulty_line(workshop, STAND_IN):
        message = await workshop.add_job(job_input(prompt=faulty.CRASHES), attempt=2)
        for attempt in (1, 2):
            await workshop.execute(LOSE_ONE, message.job_id, attempt)
        await workshop.publish(message)
        job = await workshop.reached(message.job_id, "failed")
        error = msgspec.json.decode(job["error"])
        assert (job["attempt"], error["code"], error["step"]) == (3, "poison", 3)
        assert error["message"].startswith("This job ended the render process 3 times.")
        assert "SIGSEGV" in error["message"]
        assert "last_lines" not in error
        assert any("Segmentation fault" in line for line in (await last_error(workshop, message.job_id))["last_lines"])
        await workshop.take(DEAD_QUEUE)
        await next_job_is_fine(workshop)


@pytest.mark.timeout(600)
async def test_a_process_that_fails_at_what_it_could_do_is_replaced_and_kills_no_job(workshop: Workshop) -> None:
    """Two failures in a row of two jobs retry both and replace the process; then a second failure kills its job."""
    async with faulty_line(workshop) as line:
        first = await workshop.add_job(job_input(prompt=faulty.NOT_FINITE))
        await workshop.publish(first)
        await workshop.reached_attempt_end(first.job_id)
        before = line.process.pid
        assert (await last_error(workshop, first.job_id))["code"] == "non_finite_output"

        second = await workshop.submit(job_input(prompt=faulty.RAISES))
        job = await workshop.reached_attempt_end(second)
        assert (job["status"], msgspec.json.decode(job["error"])["code"]) == ("queued", "pipeline_error")
        assert any("KeyError" in text for text in (await last_error(workshop, second))["last_lines"])
        await next_job_is_fine(workshop)
        assert line.process.pid != before

        await workshop.execute("UPDATE jobs SET next_attempt_at = NULL WHERE id = $1", first.job_id)
        await workshop.publish(first)
        job = await workshop.reached(first.job_id, "failed")
        assert job["attempt"] == 2
        assert await workshop.outcomes(first.job_id) == ["retried", "failed"]
        assert "last_lines" in await last_error(workshop, first.job_id)
        await workshop.take(DEAD_QUEUE)


@pytest.mark.timeout(300)
async def test_a_job_without_memory_is_tried_once_more_in_tiles(workshop: Workshop) -> None:
    """The first attempt says what did not fit; the second decodes in tiles, and its receipt says so."""
    async with faulty_line(workshop):
        starved = await workshop.add_job(job_input(prompt=faulty.NO_MEMORY_ONCE))
        await workshop.publish(starved)
        job = await workshop.reached_attempt_end(starved.job_id)
        assert msgspec.json.decode(job["error"])["message"].startswith("64x64, 1 picture, did not fit in")
        await workshop.execute("UPDATE jobs SET next_attempt_at = NULL WHERE id = $1", starved.job_id)
        await workshop.publish(starved)
        job = await workshop.reached(starved.job_id, "succeeded")
        assert msgspec.json.decode(job["receipt"], type=Receipt).tiled, "the second attempt is frugal"
