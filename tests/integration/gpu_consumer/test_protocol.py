"""Each row of the protocol's table that is the consumer's."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from contracts.messages.v1 import encode
from contracts.topology import DEAD_QUEUE, LANE_HEADER, work_queue
from gpu_consumer.render.process import RenderProcess
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG, Workshop
from tests.support.models import job_input
from tests.support.waiting import eventually

SET_NOT_DUE = "UPDATE jobs SET attempt = 1, next_attempt_at = now() + $2::interval WHERE id = $1"
SET_RUNNING = """
    UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), worker = 'bela', lease_token = $2,
        lease_expires_at = now() + interval '1 minute' WHERE id = $1
"""
CUT_POOL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'darkroom-gpu-consumer'"
SET_DEAD = """
    UPDATE jobs SET status = 'failed', dead_lettered = true, completed_at = now(),
        error = '{"code": "pipeline_error"}' WHERE id = $1
"""


async def consumed(shop: Workshop) -> None:
    """Wait until the queue holds no message and none is held."""
    await shop.waiting_becomes(0)
    await eventually(shop.queues_are_empty)


async def held_by_another(shop: Workshop, **columns: Any) -> UUID:
    """A job that another worker renders, and its message on the queue once more."""
    message = await shop.add_job(**columns)
    await shop.execute(SET_RUNNING, message.job_id, uuid4())
    await shop.publish(message)
    return message.job_id


async def test_claim_records_the_attempt_and_the_started_event(line: Line) -> None:
    """A claim makes the job running under a fresh lease, with its attempt's row and its started delivery."""
    shop = line.workshop
    line.start()
    events = ["job.started", "job.canceled"]
    job_id = await shop.submit(LONG, webhook_url="http://127.0.0.1:9/hook", webhook_events=events)
    job = await shop.reached(job_id, "running")
    assert (job["attempt"], job["worker"], job["next_attempt_at"]) == (1, "anna", None)
    (attempt,) = await shop.attempts(job_id)
    assert (attempt["lease_token"], attempt["outcome"]) == (job["lease_token"], None)
    (delivery,) = await shop.rows("SELECT event FROM webhook_deliveries")
    assert delivery["event"] == "job.started"


async def test_a_message_that_is_not_due_is_parked_in_the_lane_that_covers_the_rest(line: Line) -> None:
    """The copy waits in a lane no shorter than the wait, without `x-death`, and the job is left alone."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_NOT_DUE, message.job_id, timedelta(seconds=50))
    await shop.publish(message)
    line.start()
    await shop.waiting_becomes(1, "darkroom.retry.1mb.v1")
    assert await shop.waiting() == 0
    parked = await shop.take("darkroom.retry.1mb.v1")
    assert parked.body == encode(message)
    assert parked.headers[LANE_HEADER] == "1mb"
    assert "x-death" not in parked.headers
    assert (await shop.job(message.job_id))["status"] == "queued"


async def test_a_parked_message_comes_back_when_its_lane_is_over(line: Line) -> None:
    """A job that becomes due while its message is parked is rendered afterwards."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_NOT_DUE, message.job_id, timedelta(milliseconds=700))
    await shop.publish(message)
    line.start()
    await shop.reached(message.job_id, "succeeded")


async def test_a_lane_that_is_missing_is_declared_again(line: Line) -> None:
    """Parking into a lane whose queue was deleted makes it anew."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_NOT_DUE, message.job_id, timedelta(seconds=50))
    line.start()
    await shop.reached(await shop.submit(), "succeeded")  # everything is declared by then
    await shop.delete_queue("darkroom.retry.1mb.v1")
    await shop.publish(message)
    await shop.waiting_becomes(1, "darkroom.retry.1mb.v1")


async def test_the_message_of_a_running_job_is_acked(line: Line) -> None:
    """A duplicate that finds its job running goes away, and the holder is not disturbed."""
    shop = line.workshop
    job_id = await held_by_another(shop)
    line.start()
    await consumed(shop)
    assert (await shop.job(job_id))["worker"] == "bela"


async def test_a_duplicate_is_acked_while_the_first_is_stored(line: Line) -> None:
    """Two messages of one job make one attempt."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.publish(message)
    await shop.publish(message)
    line.start()
    await shop.reached(message.job_id, "succeeded")
    await consumed(shop)
    assert await shop.outcomes(message.job_id) == ["succeeded"]


async def test_the_message_of_a_finished_job_is_acked(line: Line) -> None:
    """A redelivery after the settle goes away."""
    shop = line.workshop
    line.start()
    message = await shop.add_job()
    await shop.publish(message)
    await shop.reached(message.job_id, "succeeded")
    await shop.publish(message)
    await consumed(shop)
    assert await shop.outcomes(message.job_id) == ["succeeded"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("generation = 2", id="superseded"),
        pytest.param("status = 'canceled', completed_at = now()", id="canceled"),
        pytest.param("expires_at = now() - interval '1 second'", id="expired"),
    ],
)
async def test_a_message_without_a_claim_is_acked(line: Line, change: str) -> None:
    """A message of an earlier generation, or of a job that was canceled or waited too long, goes away."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(f"UPDATE jobs SET {change} WHERE id = $1", message.job_id)
    before = await shop.job(message.job_id)
    await shop.publish(message)
    line.start()
    await consumed(shop)
    assert await shop.job(message.job_id) == before


async def test_the_message_of_a_deleted_job_is_acked(line: Line) -> None:
    """A message whose job is not there goes away."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute("DELETE FROM jobs")
    await shop.publish(message)
    line.start()
    await consumed(shop)


async def test_the_message_of_a_dead_job_is_rejected(line: Line) -> None:
    """A redelivery of a job that is dead in this generation reaches the dead letters."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_DEAD, message.job_id)
    await shop.publish(message)
    line.start()
    assert (await shop.take(DEAD_QUEUE)).body == encode(message)


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
    await consumed(shop)
    job = await shop.job(job_id)
    assert (job["status"], job["worker"]) == ("running", "bela")
    assert shop.bucket.object_keys() == [msgspec.json.decode((await shop.job(after))["outputs"])[0]["key"]]


async def test_a_settle_that_comes_too_late_is_discarded(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result whose lease was lost during the upload is not recorded; its objects stay, the message goes away."""
    shop = line.workshop
    put = line.app.storage.put

    async def put_and_lose(*arguments: Any) -> None:
        await put(*arguments)
        await shop.execute("UPDATE jobs SET lease_token = $1, worker = 'bela'", uuid4())

    monkeypatch.setattr(line.app.storage, "put", put_and_lose)
    line.start()
    job_id = await shop.submit()
    await eventually(lambda: len(shop.bucket.object_keys()) == 1)
    await consumed(shop)
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
        assert msgspec.json.decode(job["error"])["code"] == "render_timeout"
        assert await workshop.outcomes(job_id) == ["failed"]
        await workshop.reached(await workshop.submit(job_input(num_inference_steps=1)), "succeeded")


async def test_a_cancel_stops_the_render_at_once(line: Line) -> None:
    """A cancel that is heard of ends the job within steps, long before the next heartbeat."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG)
    await shop.stepping(job_id)
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
    line.app.consumer.hurry(job_id)
    await shop.reached(job_id, "canceled", seconds=5)
    assert await shop.outcomes(job_id) == ["canceled"]
    await consumed(shop)


async def test_a_cancel_that_nobody_heard_is_found_by_the_heartbeat(line: Line) -> None:
    """Without a notification the heartbeat is the floor."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(LONG)
    await shop.reached(job_id, "running")
    await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
    await shop.reached(job_id, "canceled", seconds=10)


async def test_a_transient_failure_waits_in_a_lane(line: Line) -> None:
    """S3 away: the job is queued again with a reason, a time, and an outbox row that names the lane."""
    shop = line.workshop
    line.start()
    async with shop.bucket_missing():
        job_id = await shop.submit()
        job = await shop.reached_attempt_end(job_id)
    assert (job["status"], job["attempt"], job["lease_token"]) == ("queued", 1, None)
    assert job["next_attempt_at"] is not None
    error = msgspec.json.decode(job["error"])
    assert (error["code"], error["retryable"], error["stage"]) == ("storage_unavailable", True, "store")
    ((lane,),) = await shop.rows("SELECT lane FROM outbox WHERE job_id = $1", job_id)
    assert lane in {"1sa", "1sb", "1sc"}
    assert await shop.outcomes(job_id) == ["retried"]
    (attempt,) = await shop.attempts(job_id)
    assert "cause" in msgspec.json.decode(attempt["error"])
    assert "cause" not in error
    await consumed(shop)


async def test_the_last_attempt_s_failure_kills_the_job(line: Line) -> None:
    """With its attempts spent a job is dead: dead letter with bytes and headers, message among the dead."""
    shop = line.workshop
    line.start()
    async with shop.bucket_missing():
        job_id = await shop.submit(max_attempts=1)
        await shop.reached(job_id, "failed")
    dead = await shop.take(DEAD_QUEUE)
    ((letter),) = await shop.rows("SELECT * FROM dead_letters")
    assert (letter["job_id"], letter["reason"], letter["body"]) == (job_id, "storage_unavailable", dead.body)
    assert msgspec.json.decode(letter["headers"])["darkroom-job-id"] == str(job_id)


async def test_a_wanted_cancel_wins_over_a_retry(line: Line) -> None:
    """A job that fails after its cancel was asked for is canceled, not queued."""
    shop = line.workshop
    line.start()
    async with shop.bucket_missing():
        job_id = await shop.submit()
        await shop.reached(job_id, "running")
        await shop.execute("UPDATE jobs SET cancel_requested_at = now() WHERE id = $1", job_id)
        await shop.reached(job_id, "canceled")
    await consumed(shop)


async def test_an_input_that_the_model_can_t_render_is_dead_at_once(line: Line) -> None:
    """A permanent failure spends no second attempt, and its reason is on the job's record."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(width=4096))
    job = await shop.reached(job_id, "failed")
    error = msgspec.json.decode(job["error"])
    assert (error["code"], error["message"]) == (
        "input_not_renderable",
        "width must lie between 64 and 128.",
    )
    assert job["dead_lettered"]
    await shop.take(DEAD_QUEUE)


@pytest.mark.parametrize("body", [b"{", b'{"type": "darkroom.render.v9"}', b"\xff\x00", b"[" * 100_000])
async def test_an_undecodable_message_reaches_the_dead_letters_and_the_next_job_renders(
    line: Line, body: bytes
) -> None:
    """Its exact bytes are there, and the consumer goes on."""
    shop = line.workshop
    line.start()
    await shop.publish_raw(body)
    after = await shop.submit()
    await shop.reached(after, "succeeded")
    assert (await shop.take(DEAD_QUEUE)).body == body


async def test_a_message_lost_with_its_channel_is_acked_when_it_comes_back(line: Line) -> None:
    """The channel goes while rendering: the job is settled all the same, once, and the copy that comes goes away."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(num_inference_steps=100))
    await shop.reached(job_id, "running")
    await line.drop_consuming_connection()
    await shop.reached(job_id, "succeeded")
    await consumed(shop)
    assert await shop.outcomes(job_id) == ["succeeded"]
    after = await shop.submit()
    await shop.reached(after, "succeeded")


async def test_a_claim_in_doubt_is_asked_again_under_its_own_token(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that took effect, though its answer was lost, is ours: one attempt, one result."""
    shop = line.workshop
    shop.lose_the_first_answer(line.app.bench.store, "claim", monkeypatch)
    line.start()
    job_id = await shop.submit()
    await shop.reached(job_id, "succeeded")
    assert await shop.outcomes(job_id) == ["succeeded"]


async def test_a_settle_in_doubt_is_asked_again(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settle that took effect, though its answer was lost, stands, and the message goes away."""
    shop = line.workshop
    shop.lose_the_first_answer(line.app.bench.store, "succeed", monkeypatch)
    line.start()
    job_id = await shop.submit()
    await shop.reached(job_id, "succeeded")
    await consumed(shop)
    assert await shop.outcomes(job_id) == ["succeeded"]


async def test_the_loss_of_every_connection_to_postgres_costs_a_running_job_nothing(line: Line) -> None:
    """The render goes on, heartbeats and settle find new connections: one attempt, one result."""
    shop = line.workshop
    line.start()
    job_id = await shop.submit(job_input(num_inference_steps=100))
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
