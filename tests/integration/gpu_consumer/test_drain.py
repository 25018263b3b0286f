"""SIGTERM: what runs is finished, what has not begun goes back."""

import asyncio
from typing import Any

import pytest

from darkroom_contracts.messages.v1 import encode
from darkroom_contracts.topology import work_queue
from gpu_consumer.renderer.renderer import Renderer
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG
from tests.support.models import job_input
from tests.support.waiting import eventually


async def forever(*_: Any) -> None:
    await asyncio.Event().wait()


async def test_the_running_job_is_finished_and_no_other_is_taken(line: Line) -> None:
    """A drain settles and acks the job that renders; the next one stays in the queue, untouched."""
    shop = line.workshop
    running, waiting = await shop.submit(job_input(num_inference_steps=400)), await shop.submit()
    line.start()
    await shop.stepping(running)
    await line.stop()
    assert (await shop.job(running))["status"] == "succeeded"
    untouched = await shop.job(waiting)
    assert (untouched["status"], untouched["attempt"]) == ("queued", 0)
    assert (await shop.take(work_queue("tiny"))).body.find(str(waiting).encode()) > 0


async def test_a_job_that_outlasts_the_drain_is_released(line: Line) -> None:
    """At the drain's end the render is stopped, and its job is queued again with its attempt refunded."""
    shop = line.workshop
    job_id = await shop.submit(LONG)
    line.start()
    await shop.stepping(job_id)
    await line.stop(drain_seconds=0.1)
    job = await shop.job(job_id)
    assert (job["status"], job["attempt"], job["lease_token"]) == ("queued", 0, None)
    assert await shop.outcomes(job_id) == ["released"]
    assert len(await shop.rows("SELECT 1 FROM outbox WHERE job_id = $1 AND lane IS NULL", job_id)) == 1
    assert await shop.queues_are_empty()


async def test_a_job_that_was_claimed_and_not_begun_is_released(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the render process is being replaced a drain gives the job back at once."""
    shop = line.workshop
    monkeypatch.setattr(Renderer, "ready", None)
    monkeypatch.setattr(line.app.renderer, "warm", forever)
    job_id = await shop.submit()
    line.start()
    await shop.reached(job_id, "running")
    await line.stop()
    job = await shop.job(job_id)
    assert (job["status"], job["attempt"]) == ("queued", 0)
    assert await shop.outcomes(job_id) == ["released"]


async def test_a_claim_on_its_way_is_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain that meets a claim whose answer is still out releases the job, and leaves no lease behind."""
    shop = line.workshop
    claim = line.app.jobs.claim
    committed = asyncio.Event()

    async def slowly(*arguments: Any) -> Any:
        verdict = await claim(*arguments)
        committed.set()
        await asyncio.sleep(0.2)  # the answer's way back
        return verdict

    monkeypatch.setattr(line.app.jobs, "claim", slowly)
    job_id = await shop.submit()
    line.start()
    await committed.wait()
    await line.stop()
    job = await shop.job(job_id)
    assert (job["status"], job["attempt"], job["lease_token"]) == ("queued", 0, None)
    assert await shop.outcomes(job_id) == ["released"]


async def test_a_wanted_cancel_wins_over_a_release(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose cancel was asked for is canceled by the drain, not queued."""
    shop = line.workshop
    monkeypatch.setattr(Renderer, "ready", None)
    monkeypatch.setattr(line.app.renderer, "warm", forever)
    job_id = await shop.submit()
    line.start()
    await shop.reached(job_id, "running")
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
    await line.stop()
    assert (await shop.job(job_id))["status"] == "canceled"


async def test_an_unclaimed_message_is_given_back(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is held while Postgres does not answer is in the queue again after the drain."""
    shop = line.workshop
    asked = asyncio.Event()

    async def unanswered(*_: Any) -> None:
        asked.set()
        await forever()

    monkeypatch.setattr(line.app.jobs, "claim", unanswered)
    message = await shop.add_job()
    await shop.publish(message)
    line.start()
    await asked.wait()
    assert await shop.waiting() == 0
    await line.stop()
    assert (await shop.take(work_queue("tiny"))).body == encode(message)


async def test_an_idle_consumer_stops_at_once(line: Line) -> None:
    """Without a job a drain is immediate, and the subscription is gone."""
    shop = line.workshop
    line.start()
    await shop.reached(await shop.submit(), "succeeded")
    await line.stop()
    await shop.submit()
    await eventually(lambda: shop.waiting_is(1))
