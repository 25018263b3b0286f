"""A worker's process dies; the job does not."""

import asyncio
import signal

import pytest

from darkroom_contracts.topology import work_queue
from gpu_consumer.startup import ExitCode
from tests.support.http_client import Client
from tests.support.processes import ServiceProcess, render_process
from tests.support.stack import DROPPED, MODEL, WARM_SECONDS, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LONG_LEASE_SECONDS = 120
HISTORIES = {
    "before_claim": [("heir", "succeeded")],
    "while_rendering": [("victim", "lost"), ("heir", "succeeded")],
    "after_upload": [("victim", "lost"), ("heir", "succeeded")],
    "after_settle": [("victim", "succeeded")],
}
"""Where the worker is killed -> the attempts that must be recorded."""
LEFTOVERS = {"before_claim": 0, "while_rendering": 1, "after_upload": 1, "after_settle": 1}
"""Where the worker is killed -> the messages that its heir finds to be of no use."""


OFTEN = "while_rendering"
"""The point that every run of the tests tries; the others take as long and are for `make chaos`."""


@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[] if point == OFTEN else [pytest.mark.long]) for point in HISTORIES]
)
async def test_a_killed_worker_leaves_one_result(stack: Stack, client: Client, point: str) -> None:
    """Wherever SIGKILL meets a worker, its job ends with one result, and the attempt history tells what happened."""
    model = stack.spare_model()
    victim = stack.launch_worker("victim", model=model, fault=("kill", point))
    await victim.ready(WARM_SECONDS)
    job_id = await client.submit(model, steps=20, seed=3)
    assert await victim.wait() == -signal.SIGKILL

    heir = await stack.worker("heir", model=model)
    (job,) = await client.succeeded(job_id)
    attempts = await stack.ledger.attempts(job_id)
    assert job.attempt == len(attempts)
    assert [(attempt.worker, attempt.outcome) for attempt in attempts] == HISTORIES[point]
    assert [attempt.code for attempt in attempts if attempt.outcome == "lost"] == ["worker_lost"] * (len(attempts) - 1)
    assert len(stack.pictures(job_id)) == len(job.outputs) == 1

    async def tidied_up() -> bool:
        return await heir.metric(DROPPED) == LEFTOVERS[point]

    await eventually(tidied_up, what="the heir dropped what the victim left")
    assert await heir.stop() == 0
    assert await stack.queues.waiting(work_queue(model)) == 0


async def test_a_job_that_was_claimed_ahead_loses_no_attempt(stack: Stack, client: Client) -> None:
    """The worker dies with one job decoded and the next claimed: only the attempt that had begun counts."""
    model = stack.spare_model()
    begun, ahead = [await client.submit(model, steps=50) for _ in range(2)]
    await eventually(lambda: _waits(stack, model, 2), what="both messages reached the queue")
    victim = stack.launch_worker("victim", model=model, fault=("kill", "after_second_claim"))
    assert await victim.wait(WARM_SECONDS) == -signal.SIGKILL

    heir = await stack.worker("heir", model=model)
    counted = {str(job.id): job.attempt for job in await client.succeeded(begun, ahead)}
    assert await stack.ledger.outcomes(ahead) == ["lost", "succeeded"]
    assert counted == {begun: len(await stack.ledger.outcomes(begun)), ahead: 1}
    assert await heir.stop() == 0


async def test_a_restarted_worker_frees_its_predecessors_lease_at_once(stack: Stack, client: Client) -> None:
    """A worker that comes back under its name takes its lost job up again, long before the lease is over."""
    model, lease = stack.spare_model(), {"DARKROOM_LEASE_SECONDS": str(LONG_LEASE_SECONDS)}
    first = await stack.worker("phoenix", model=model, settings=lease)
    job_id = await client.submit(model, steps=150)
    await client.rendering(job_id)
    first.kill()

    second = await stack.worker("phoenix", model=model, settings=lease)
    await client.succeeded(job_id, seconds=LONG_LEASE_SECONDS / 2)
    assert await stack.ledger.outcomes(job_id) == ["lost", "succeeded"]
    await second.stop()


async def test_sigterm_during_a_render_loses_nothing(stack: Stack, client: Client) -> None:
    """A drained worker finishes the job it renders, takes no other, and exits with 0."""
    model = stack.spare_model()
    worker = await stack.worker("leaver", model=model)
    running = await client.submit(model, steps=300)
    await client.rendering(running)
    waiting = await client.submit(model)
    await eventually(lambda: _waits(stack, model, 1), what="the second message reached the queue")

    assert await worker.stop() == 0
    await client.succeeded(running)
    assert await stack.ledger.outcomes(running) == ["succeeded"]
    assert await stack.ledger.outcomes(waiting) == []
    assert await stack.queues.waiting(work_queue(model)) == 1
    await client.cancel(waiting)


async def test_a_killed_render_process_is_told_and_replaced(
    stack: Stack, client: Client, workers: dict[str, ServiceProcess]
) -> None:
    """When only the render process dies, the attempt tells how, the job is tried again, and the worker lives on."""
    job_id = await client.submit(MODEL, steps=150)
    await client.rendering(job_id)
    (attempt,) = await stack.ledger.attempts(job_id)
    worker = workers[attempt.worker]
    pid = worker.pid
    render_process(worker).kill()

    await client.succeeded(job_id)
    first, second = await stack.ledger.attempts(job_id)
    assert (first.outcome, first.code) == ("retried", "render_process_lost")
    assert "SIGKILL" in str(first.message)
    assert second.outcome == "succeeded"
    await stack.rendered_by(attempt.worker, client)
    assert worker.pid == pid
    assert worker.returncode is None


@pytest.mark.long
async def test_a_gpu_that_loses_different_jobs_closes_its_worker(stack: Stack, client: Client) -> None:
    """The worker exits with a code that allows a restart, and the jobs' attempts are refunded."""
    model = stack.spare_model()
    sick = await stack.worker("sick", model=model)
    lost = [await client.submit(model, steps=300) for _ in range(2)]
    for job_id in lost:
        await client.rendering(job_id)
        render_process(sick).kill()
    assert await sick.wait() == ExitCode.DEVICE_FAILING
    assert "2 different jobs in a row lost the render process" in sick.output()
    for job in await asyncio.gather(*map(client.job, lost)):
        assert (job.status, job.attempt) == ("queued", 0)

    healthy = await stack.worker("healthy", model=model)
    for job in await client.succeeded(*lost):
        assert job.attempt == 1
    assert [await stack.ledger.outcomes(job_id) for job_id in lost] == [["retried", "succeeded"]] * 2
    assert await healthy.stop() == 0


async def _waits(stack: Stack, model: str, messages: int) -> bool:
    return await stack.queues.waiting(work_queue(model)) == messages
