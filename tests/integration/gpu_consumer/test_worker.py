"""The worker as a process of its own: how it starts, survives and ends."""

import asyncio
import os
import re
import signal
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from msgspec.structs import replace

from darkroom_contracts.topology import DEAD_QUEUE
from darkroom_local.probes import http_status
from gpu_consumer.startup import ExitCode
from tests.integration.gpu_consumer.workshop import LONG, TAKE_NAME, Workshop
from tests.support.fixtures import ServiceFactory
from tests.support.ids import aged_id
from tests.support.models import job_input
from tests.support.processes import render_process
from tests.support.waiting import eventually

NO_GPU = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU")
HOLD = """
    UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), worker = 'anna', lease_token = $2,
        lease_expires_at = now() + interval '10 minutes' WHERE id = $1
"""
HOLD_ATTEMPT = "INSERT INTO attempts (lease_token, job_id, generation, attempt, worker) VALUES ($2, $1, 1, 1, 'anna')"


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        pytest.param({"DARKROOM_MODEL": "nothing"}, ExitCode.SETTINGS, "must be one of tiny", id="unknown model"),
        pytest.param({"DARKROOM_MODEL": ""}, ExitCode.SETTINGS, "DARKROOM_MODEL: is not set", id="setting"),
        pytest.param({"DARKROOM_MODELS_HOME": "/nowhere"}, ExitCode.MODEL_MISSING, "/nowhere/tiny", id="no weights"),
        pytest.param({"DARKROOM_DEVICE": "cuda"}, ExitCode.DEVICE, "DARKROOM_DEVICE", id="no GPU", marks=NO_GPU),
    ],
)
async def test_a_worker_that_can_t_work_says_why_and_ends(
    workshop: Workshop, start_service: ServiceFactory, changes: dict[str, str], code: ExitCode, reason: str
) -> None:
    """Wrong settings, missing weights and a missing device each have an exit code and a sentence."""
    worker = await start_service("gpu_consumer", workshop.environment | changes, wait_ready=False)
    assert await worker.wait(120) == code
    assert reason in worker.output()


async def test_a_twin_ends_with_a_code_of_its_own(workshop: Workshop, start_service: ServiceFactory) -> None:
    """A worker whose name a living one holds does not start."""
    await workshop.execute(TAKE_NAME)
    worker = await start_service("gpu_consumer", workshop.environment, wait_ready=False)
    assert await worker.wait() == ExitCode.NAME_TAKEN
    assert "A living worker is called 'anna' already" in worker.output()


async def test_a_worker_s_life(workshop: Workshop, start_service: ServiceFactory) -> None:
    """Its predecessor's job is free at once; a render process that dies, rendering or idle, is replaced."""
    message = await workshop.add_job()
    token = uuid4()
    await workshop.execute(HOLD, message.job_id, token)
    await workshop.execute(HOLD_ATTEMPT, message.job_id, token)

    worker = await start_service("gpu_consumer", workshop.environment, stand_in=True)

    assert (await workshop.job(message.job_id))["status"] == "queued"
    assert await workshop.outcomes(message.job_id) == ["lost"]
    assert len(await workshop.rows("SELECT 1 FROM outbox WHERE job_id = $1", message.job_id)) == 1
    assert "rendering on the CPU" in worker.output()

    job_id = await workshop.submit(LONG)
    await workshop.stepping(job_id)
    os.kill(render_process(worker).pid, signal.SIGKILL)
    job = await workshop.reached_attempt_end(job_id)
    error = msgspec.json.decode(job["error"])
    assert (job["status"], error["code"]) == ("queued", "render_process_lost")
    assert re.fullmatch(r"The render process was lost after step \d+ of 999: SIGKILL\.", error["message"])
    (attempt,) = await workshop.attempts(job_id)
    assert "last_lines" in msgspec.json.decode(attempt["error"])

    after = await workshop.submit()
    await workshop.reached(after, "succeeded", seconds=60)
    os.kill(render_process(worker).pid, signal.SIGKILL)
    await eventually(lambda: worker.output().count("model is warm") == 3, seconds=60)
    await workshop.reached(after := await workshop.submit(), "succeeded", seconds=60)
    assert await workshop.outcomes(after) == ["succeeded"]

    async def described() -> bool:
        return bool(await workshop.rows("SELECT FROM worker_sessions WHERE ended_at IS NULL AND device IS NOT NULL"))

    await eventually(described, what="a beat of the session told what it renders on")
    (session,) = await workshop.rows("SELECT * FROM worker_sessions WHERE ended_at IS NULL")
    assert (await workshop.attempts(after))[0]["session_id"] == session["id"]
    assert (session["worker"], session["model"], session["device"]) == ("anna", "tiny", "cpu")
    assert session["model_revision"].startswith("sha256:")
    assert "torch" in msgspec.json.decode(session["versions"])

    async def empty() -> bool:
        (row,) = await workshop.rows("SELECT empty_at > started_at AS told FROM worker_sessions WHERE ended_at IS NULL")
        return bool(row["told"])

    await eventually(empty, what="the idle worker told that its queue was empty")

    last, untouched = await workshop.submit(job_input(num_inference_steps=100)), await workshop.submit()
    await workshop.reached(last, "running")
    assert await worker.stop() == 0
    assert await workshop.outcomes(last) == ["succeeded"]
    assert (await workshop.job(untouched))["status"] == "queued"
    assert await workshop.waiting() == 1
    assert await workshop.rows("SELECT FROM worker_sessions WHERE ended_at IS NULL") == []


async def test_a_worker_of_a_paused_model_takes_nothing(workshop: Workshop, start_service: ServiceFactory) -> None:
    """Paused before its start it leaves the queue alone; resumed it works it off."""
    await workshop.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'test', 'x')")
    job_id = await workshop.submit()
    worker = await start_service("gpu_consumer", workshop.environment, stand_in=True)
    assert "the model is paused" in worker.output()
    assert await workshop.waiting() == 1
    await workshop.execute("DELETE FROM paused_models")
    await workshop.reached(job_id, "succeeded")


async def test_a_drained_worker_finishes_and_stays(workshop: Workshop, start_service: ServiceFactory) -> None:
    """It finishes its job, takes no other and goes on beating; resumed it works the queue off.

    Started anew, it takes jobs.
    """
    drain = "UPDATE worker_sessions SET drain_requested_at = now() WHERE ended_at IS NULL"
    worker = await start_service("gpu_consumer", workshop.environment, stand_in=True)
    running = await workshop.submit(job_input(num_inference_steps=300))
    await workshop.stepping(running)
    await workshop.execute(drain)
    await eventually(lambda: "the worker is drained" in worker.output(), what="the worker has read of its drain")
    waiting = await workshop.submit()
    await workshop.reached(running, "succeeded")
    await workshop.execute("UPDATE worker_sessions SET last_beat_at = last_beat_at - interval '1 hour'")

    async def beats() -> bool:
        return bool(await workshop.rows("SELECT FROM worker_sessions WHERE last_beat_at > now() - interval '1 minute'"))

    await eventually(beats, what="the drained worker beats")
    assert await workshop.waiting() == 1
    await workshop.execute("UPDATE worker_sessions SET drain_requested_at = NULL")
    await workshop.reached(waiting, "succeeded")

    await workshop.execute(drain)
    await eventually(lambda: worker.output().count("the worker is drained") == 2, what="it has read of it again")
    assert await worker.stop() == 0
    await worker.restart()
    await workshop.reached(await workshop.submit(), "succeeded")


async def test_a_worker_on_a_wrong_database_is_not_ready(workshop: Workshop, start_service: ServiceFactory) -> None:
    """It rejects nothing, takes nothing more, and says why."""
    worker = await start_service("gpu_consumer", workshop.environment, stand_in=True)
    known = await workshop.add_job()
    foreign = await workshop.complete(replace(known, job_id=aged_id(timedelta(hours=1))), instance_id=uuid4())
    await workshop.publish(foreign)

    async def unready() -> bool:
        return await asyncio.to_thread(http_status, worker.port, "/readyz") == 503

    await eventually(unready, what="the worker is not ready")
    await workshop.waiting_becomes(1)
    assert "another database's jobs" in worker.output()
    assert await workshop.waiting(DEAD_QUEUE) == 0
