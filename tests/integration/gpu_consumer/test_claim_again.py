"""Rows of the protocol's table: a holder finds its job gone, and claims it again by the same message."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from darkroom_contracts.messages import encode_render
from darkroom_contracts.topology import DEAD_QUEUE, work_queue
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG, Workshop
from tests.support.ids import aged_id
from tests.support.models import job_input
from tests.support.waiting import eventually

SECONDS_LONG = job_input(num_inference_steps=300)
"""Renders long enough for several heartbeats."""
GIVE_TO_ANOTHER = """
    WITH returned AS (SELECT return_job($1, lease_token, 'lost') FROM jobs WHERE id = $1)
    SELECT count(*) FROM returned
"""
CLAIM_FOR_ANOTHER = """
    UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = 'bela', started_at = now(), lease_token = $2,
        lease_expires_at = now() + interval '1 minute' WHERE id = $1
"""


def _deadline_in(seconds: float) -> dict[str, Any]:
    """Return the columns of a job whose deadline is `seconds` away."""
    left = timedelta(seconds=seconds)
    return {"deadline": left, "deadline_at": datetime.now(UTC) + left}


async def test_a_claim_that_postgres_lost_is_made_again_while_rendering(line: Line) -> None:
    """The heartbeat finds the job queued, as if it was never taken: the render goes on, and its result stands."""
    shop = line.workshop
    message = await shop.complete(await shop.add_job(SECONDS_LONG))
    await shop.publish(message)
    line.start()
    await shop.stepping(message.job_id)
    await shop.lose_claim(message.job_id)
    job = await shop.reached(message.job_id, "succeeded")
    assert job["attempt"] == 1
    (attempt,) = await shop.attempts(message.job_id)
    assert (attempt["outcome"], attempt["stamped_at"]) == ("succeeded", message.stamped_at)
    await shop.consumed()


async def test_a_claim_that_postgres_lost_is_made_again_by_the_settle(
    workshop: Workshop, warm_process: RenderProcess
) -> None:
    """A finished render claims and settles its job although the job has expired."""
    # After the first step's report no heartbeat comes before the settle.
    async with Line(workshop, warm_process, lease_seconds="600") as line:
        line.start()
        job_id = await workshop.submit(job_input(num_inference_steps=100))
        await workshop.stepping(job_id)
        await workshop.lose_claim(
            job_id,
            "expires_at = now() - interval '1 second', next_attempt_at = now() + interval '1 hour',"
            " deadline = '1 second', deadline_at = now() - interval '1 second'",
        )
        await workshop.reached(job_id, "succeeded")
        assert await workshop.outcomes(job_id) == ["succeeded"]
        await workshop.consumed()


async def test_a_worker_that_was_reaped_goes_on_where_nobody_else_has_begun(line: Line) -> None:
    """The lease ran out while it was frozen: its next heartbeat spends another attempt, and its render is not lost."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(SECONDS_LONG)
    await shop.stepping(job_id)
    await shop.execute(GIVE_TO_ANOTHER, job_id)
    job = await shop.reached(job_id, "succeeded")
    assert job["attempt"] == 2
    assert await shop.outcomes(job_id) == ["lost", "succeeded"]


async def test_a_worker_that_was_reaped_steps_back_where_another_has_begun(line: Line) -> None:
    """It stops its render, writes nothing and acks its message."""
    shop = line.workshop
    line.start()
    job_id, token = await shop.submit(LONG), uuid4()
    await shop.stepping(job_id)
    await shop.execute(GIVE_TO_ANOTHER, job_id)
    await shop.execute(CLAIM_FOR_ANOTHER, job_id, token)
    after = await shop.submit()
    await shop.reached(after, "succeeded")
    await shop.consumed()
    job = await shop.job(job_id)
    assert (job["status"], job["worker"], job["lease_token"]) == ("running", "bela", token)


async def test_a_worker_whose_job_died_meanwhile_rejects_its_message(line: Line) -> None:
    """The reaped attempt was the last: the message joins the job's dead letter."""
    shop = line.workshop
    line.start()
    message = await shop.add_job(LONG, max_attempts=1)
    await shop.publish(message)
    await shop.stepping(message.job_id)
    await shop.execute(GIVE_TO_ANOTHER.replace("'lost'", "'lost', '{\"code\": \"worker_lost\"}'"), message.job_id)
    assert (await shop.take(DEAD_QUEUE)).body == encode_render(message)
    assert (await shop.job(message.job_id))["status"] == "failed"


async def test_a_drain_claims_again_before_it_gives_back(workshop: Workshop, warm_process: RenderProcess) -> None:
    """The job that Postgres forgot was taken goes back with a message of its own, its attempt refunded."""
    async with Line(workshop, warm_process, lease_seconds="600") as line:
        line.start()
        job_id = await workshop.submit(LONG)
        await workshop.reached(job_id, "running")
        await workshop.lose_claim(job_id)
        await line.stop(drain_seconds=0.1)
        job = await workshop.job(job_id)
        assert (job["status"], job["attempt"]) == ("queued", 0)
        assert await workshop.outcomes(job_id) == ["released"]
        assert len(await workshop.rows("SELECT FROM outbox WHERE job_id = $1", job_id)) == 1
        await workshop.consumed()


async def test_a_failure_is_never_claimed_again(workshop: Workshop, warm_process: RenderProcess) -> None:
    """Its answer may be what was lost, and it would count twice: the message waits in a lane, the job is left alone."""
    async with Line(workshop, warm_process, lease_seconds="600") as line, workshop.bucket_missing():
        message = await workshop.add_job(job_input(num_inference_steps=100))
        await workshop.publish(message)
        line.start()
        await workshop.stepping(message.job_id)
        await workshop.lose_claim(message.job_id)
        await eventually(workshop.anything_parked, what="the message is parked")
        job = await workshop.job(message.job_id)
        assert (job["status"], job["attempt"], await workshop.attempts(message.job_id)) == ("queued", 0, [])
        await line.stop()


async def test_a_failure_whose_answer_was_lost_counts_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The return took effect: one attempt is spent, and the job waits for the next."""
    shop = line.workshop
    shop.lose_the_first_answer(line.app.jobs, "retry", monkeypatch)
    async with shop.bucket_missing():
        line.start()
        job_id = await shop.submit()
        job = await shop.reached_attempt_end(job_id)
        await eventually(shop.anything_parked, what="the message is parked")
        assert (job["status"], job["attempt"]) == ("queued", 1)
        assert await shop.outcomes(job_id) == ["retried"]
        await line.stop()


async def test_an_orphan_survives_the_loss_of_its_channel(line: Line) -> None:
    """Restored from a backup while the job rendered, its channel lost and its copy acked: the message is published."""
    shop = line.workshop
    message = await shop.complete(await shop.add_job(LONG, id=aged_id(timedelta(minutes=1))))
    await shop.publish(message)
    line.start()
    await shop.stepping(message.job_id)
    await line.drop_consuming_connection()
    await shop.take(work_queue("tiny"))  # as another worker does, which finds the job running and acks the copy
    await shop.execute("DELETE FROM jobs")
    letter = await shop.take(DEAD_QUEUE)
    assert letter.body == encode_render(message)
    assert "x-death" not in letter.headers


async def test_a_deadline_ends_the_render(line: Line) -> None:
    """The deadline ends the render by the worker's own clock, before the next heartbeat; the error has the step."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG, **_deadline_in(0.7))
    job = await shop.reached(job_id, "expired")
    error = msgspec.json.decode(job["error"])
    assert (error["code"], error["steps"]) == ("deadline_exceeded", LONG.num_inference_steps)
    assert await shop.outcomes(job_id) == ["expired"]
    await shop.consumed()


async def test_a_retry_beyond_the_deadline_expires_at_once(line: Line) -> None:
    """A retry that would come after the deadline expires the job at once."""
    shop = line.workshop
    async with shop.bucket_missing():
        line.start()
        job_id = await shop.submit(**_deadline_in(1.5), max_attempts=4)
        job = await shop.reached(job_id, "expired")
    assert msgspec.json.decode(job["error"])["code"] == "deadline_exceeded"
    (attempt,) = await shop.attempts(job_id)
    assert (attempt["outcome"], msgspec.json.decode(attempt["error"])["code"]) == ("expired", "storage_unavailable")
    assert await shop.rows("SELECT FROM outbox") == []
