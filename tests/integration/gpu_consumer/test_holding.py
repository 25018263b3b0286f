"""Rows of the protocol's table: a job is held: heartbeat, cancel, a lease or a connection that is lost."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest
from prometheus_client import REGISTRY

from darkroom_contracts.topology import work_queue
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG, Workshop
from tests.support.models import job_input
from tests.support.waiting import eventually

CUT_POOL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'darkroom-gpu-consumer'"


async def test_the_heartbeat_extends_the_lease_and_tells_the_step(line: Line) -> None:
    """While it renders, a job's lease moves on and its step is on record."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG)
    await shop.stepping(job_id)
    first = await shop.job(job_id)

    async def moved() -> bool:
        job = await shop.job(job_id)
        return bool(job["lease_expires_at"] > first["lease_expires_at"] and job["step"] > first["step"])

    await eventually(moved)
    assert (await shop.job(job_id))["steps"] == LONG.num_inference_steps


async def test_a_job_that_was_taken_away_is_aborted_and_discarded(line: Line) -> None:
    """When the lease is another's, the render stops, nothing is written, the message goes away."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG)
    await shop.stepping(job_id)
    await shop.execute("UPDATE jobs SET lease_token = $2, worker = 'bela' WHERE id = $1", job_id, uuid4())
    after = await shop.submit()
    await shop.reached(after, "succeeded")
    await shop.consumed()
    job = await shop.job(job_id)
    assert (job["status"], job["worker"]) == ("running", "bela")
    assert shop.bucket.object_keys() == [msgspec.json.decode((await shop.job(after))["outputs"])[0]["key"]]


async def test_a_settle_that_comes_too_late_is_discarded(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result whose lease was lost during the upload is not recorded; its objects stay, the message goes away."""
    shop = line.workshop
    put = line.connections.storage.put

    async def put_and_lose(*arguments: Any) -> None:
        await put(*arguments)
        await shop.execute("UPDATE jobs SET lease_token = $1, worker = 'bela'", uuid4())

    monkeypatch.setattr(line.connections.storage, "put", put_and_lose)
    line.start()
    job_id = await shop.submit()
    await eventually(lambda: len(shop.bucket.object_keys()) == 1)
    await shop.consumed()
    await line.stop()
    job = await shop.job(job_id)
    assert (job["status"], job["worker"], job["outputs"]) == ("running", "bela", None)
    assert len(shop.bucket.object_keys()) == 1


async def test_a_render_that_takes_too_long_is_stopped_for_good(
    workshop: Workshop, warm_process: RenderProcess
) -> None:
    """Trying again would take as long: the job is dead with its reason, and the next one renders."""
    async with Line(workshop, warm_process, render_seconds="0.5") as line:
        line.start()
        job_id = await workshop.submit(LONG)
        job = await workshop.reached(job_id, "failed")
        error = msgspec.json.decode(job["error"])
        assert (error["code"], error["steps"]) == ("render_timeout", LONG.num_inference_steps)
        assert 0 < error["step"] < error["steps"]
        assert await workshop.outcomes(job_id) == ["failed"]
        await workshop.reached(await workshop.submit(job_input(num_inference_steps=1)), "succeeded")


async def test_a_cancel_stops_the_render_at_once(line: Line) -> None:
    """A cancel that is notified ends the job within steps, long before the next heartbeat, and is timed."""
    shop = line.workshop
    counted = REGISTRY.get_sample_value("darkroom_cancel_seconds_count") or 0
    line.start()
    job_id = await shop.submit(LONG)
    await shop.stepping(job_id)
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
    line.app.consumer.hurry(job_id)
    await shop.reached(job_id, "canceled", seconds=5)
    assert await shop.outcomes(job_id) == ["canceled"]
    assert REGISTRY.get_sample_value("darkroom_cancel_seconds_count") == counted + 1
    await shop.consumed()


async def test_a_cancel_that_nobody_heard_is_found_by_the_heartbeat(line: Line) -> None:
    """Without a notification the heartbeat is the floor."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG)
    await shop.reached(job_id, "running")
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
    await shop.reached(job_id, "canceled", seconds=10)


async def test_a_message_lost_with_its_channel_is_acked_when_it_comes_back(line: Line) -> None:
    """The channel goes while rendering: the job is settled all the same, once, and the copy that comes goes away."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(num_inference_steps=100))
    await shop.reached(job_id, "running")
    await line.drop_consuming_connection()
    await shop.reached(job_id, "succeeded")
    await shop.consumed()
    assert await shop.outcomes(job_id) == ["succeeded"]
    after = await shop.submit()
    await shop.reached(after, "succeeded")


async def test_a_claim_in_doubt_is_asked_again_under_its_own_token(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that took effect, though its answer was lost, is ours: one attempt, one result."""
    shop = line.workshop
    shop.lose_the_first_answer(line.app.jobs, "claim", monkeypatch)
    line.start()
    job_id = await shop.submit()
    await shop.reached(job_id, "succeeded")
    assert await shop.outcomes(job_id) == ["succeeded"]


async def test_a_settle_in_doubt_is_asked_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settle that took effect, though its answer was lost, stands, and the message goes away."""
    shop = line.workshop
    shop.lose_the_first_answer(line.app.jobs, "succeed", monkeypatch)
    line.start()
    job_id = await shop.submit()
    await shop.reached(job_id, "succeeded")
    await shop.consumed()
    assert await shop.outcomes(job_id) == ["succeeded"]


async def test_the_loss_of_every_connection_to_postgres_costs_a_running_job_nothing(line: Line) -> None:
    """The render goes on, heartbeats and settle find new connections: one attempt, one result."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(num_inference_steps=400))
    await shop.stepping(job_id)
    await shop.execute(CUT_POOL)
    await shop.reached(job_id, "succeeded")
    assert await shop.outcomes(job_id) == ["succeeded"]


async def test_the_queue_s_end_is_survived(line: Line) -> None:
    """A consumer whose queue was deleted under it declares it again and takes from it."""
    shop = line.workshop
    line.start()
    await shop.reached(await shop.submit(), "succeeded")
    await shop.delete_queue(work_queue("tiny"))
    message = await shop.add_job()
    await eventually(lambda: shop.publishes(message), what="the queue is there again")
    await shop.reached(message.job_id, "succeeded")
