"""Rows of the protocol's table: an attempt failed, or its message could not be read."""

import msgspec
import pytest

from darkroom_contracts.topology import DEAD_QUEUE
from tests.integration.gpu_consumer.line import Line
from tests.support.models import job_input


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
    await shop.consumed()


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
    await shop.consumed()


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
