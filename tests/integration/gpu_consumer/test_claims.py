"""Rows of the protocol's table: a message comes, and Postgres decides whether it may be claimed."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.messages.v1 import encode
from contracts.topology import DEAD_QUEUE, LANE_HEADER
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG, Workshop

SET_NOT_DUE = "UPDATE jobs SET attempt = 1, next_attempt_at = now() + $2::interval WHERE id = $1"
SET_RUNNING = """
    UPDATE jobs SET status = 'running', attempt = 1, started_at = now(), worker = 'bela', lease_token = $2,
        lease_expires_at = now() + interval '1 minute' WHERE id = $1
"""
SET_DEAD = """
    UPDATE jobs SET status = 'failed', dead_lettered = true, completed_at = now(),
        error = '{"code": "pipeline_error"}' WHERE id = $1
"""


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
    await shop.consumed()
    assert (await shop.job(job_id))["worker"] == "bela"


async def test_a_duplicate_is_acked_while_the_first_is_stored(line: Line) -> None:
    """Two messages of one job make one attempt."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.publish(message)
    await shop.publish(message)
    line.start()
    await shop.reached(message.job_id, "succeeded")
    await shop.consumed()
    assert await shop.outcomes(message.job_id) == ["succeeded"]


async def test_the_message_of_a_finished_job_is_acked(line: Line) -> None:
    """A redelivery after the settle goes away."""
    shop = line.workshop
    line.start()
    message = await shop.add_job()
    await shop.publish(message)
    await shop.reached(message.job_id, "succeeded")
    await shop.publish(message)
    await shop.consumed()
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
    await shop.consumed()
    assert await shop.job(message.job_id) == before


async def test_the_message_of_a_deleted_job_is_acked(line: Line) -> None:
    """A message whose job is not there goes away."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute("DELETE FROM jobs")
    await shop.publish(message)
    line.start()
    await shop.consumed()


async def test_the_message_of_a_dead_job_is_rejected(line: Line) -> None:
    """A redelivery of a job that is dead in this generation reaches the dead letters."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_DEAD, message.job_id)
    await shop.publish(message)
    line.start()
    assert (await shop.take(DEAD_QUEUE)).body == encode(message)
