"""Rows of the protocol's table: a message comes, and Postgres decides whether it may be claimed."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from darkroom_contracts.messages import RenderMessage, encode_render
from darkroom_contracts.topology import DEAD_QUEUE, LANE_HEADER
from gpu_consumer.gate import DATABASE, OWN_DATABASE
from tests.integration.gpu_consumer.line import Line
from tests.integration.gpu_consumer.workshop import LONG, Workshop
from tests.support.ids import aged_id
from tests.support.messages import JOB_ID, RENDER_BYTES
from tests.support.models import job_input
from tests.support.waiting import eventually

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
    """Add a job that another worker renders, and publish its message again."""
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


async def test_a_message_that_can_not_be_claimed_in_time_is_given_back(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held unclaimed it could be taken for lost: others get it, and this worker waits until Postgres answers again."""
    monkeypatch.setattr("gpu_consumer.job.claiming.CLAIM_SECONDS", 0.3)
    shop, gate = line.workshop, line.app.gate
    message = await shop.add_job()
    async with line.connections.database.transaction() as holder:
        await holder.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", message.job_id)
        line.start()
        await shop.publish(message)
        await eventually(lambda: not gate.holds(DATABASE), what="no message is taken")
        await shop.waiting_becomes(1)
    gate.allow(DATABASE)
    await shop.reached(message.job_id, "succeeded")
    assert await shop.outcomes(message.job_id) == ["succeeded"]


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
    assert parked.body == encode_render(message)
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
        pytest.param("""generation = 2, overrides = '{"model": "another"}'""", id="replayed on another model"),
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
    """A message whose job is a tombstone goes away."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute("UPDATE jobs SET status = 'canceled', completed_at = now(), deleted_at = now(), input = '{}'")
    await shop.publish(message)
    line.start()
    await shop.consumed()


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_message_of_an_unknown_job_goes_to_the_dead_letters(line: Line, version: str) -> None:
    """After a restore from a backup older than the job its message, the only record of it, is kept."""
    shop = line.workshop
    known = await shop.add_job()
    message = replace(known, job_id=aged_id(timedelta(hours=1)))
    body = encode_render(message if version == "v1" else await shop.complete(message))
    await shop.publish_raw(body)
    line.start()
    assert (await shop.take(DEAD_QUEUE)).body == body


async def test_the_message_of_a_purged_job_is_acked(line: Line) -> None:
    """Retention removed all jobs of its age: nothing brings this one back."""
    shop = line.workshop
    message = replace(await shop.add_job(), job_id=aged_id(timedelta(days=2)))
    await shop.execute("UPDATE instance SET purged_before = now() - interval '1 day'")
    await shop.publish(await shop.complete(message))
    line.start()
    await shop.consumed()


async def test_another_database_s_message_is_left_alone(line: Line) -> None:
    """A worker pointed at a wrong database takes nothing more, is not ready, says why, and rejects nothing."""
    shop = line.workshop
    message = replace(await shop.add_job(), job_id=aged_id(timedelta(hours=1)))
    await shop.publish(await shop.complete(message, instance_id=uuid4()))
    line.start()
    await asyncio.wait_for(line.app.gate.wait_closed(), 10)
    await shop.waiting_becomes(1)
    assert await shop.waiting(DEAD_QUEUE) == 0
    with pytest.raises(RuntimeError, match="another database's jobs"):
        await line.app.gate.check(OWN_DATABASE)
    own = await shop.submit()
    assert (await shop.job(own))["status"] == "queued"


async def test_a_released_message_of_the_first_version_is_rendered(line: Line) -> None:
    """The pinned bytes of version 1 go through a whole render."""
    shop = line.workshop
    await shop.add_job(id=JOB_ID, generation=2)
    await shop.publish_raw(RENDER_BYTES)
    line.start()
    await shop.reached(JOB_ID, "succeeded")
    await shop.consumed()


async def test_a_claim_names_its_message_and_its_session(line: Line) -> None:
    """The stamp shows how far the queue has been worked off; the session, who did it."""
    shop = line.workshop
    message = await shop.complete(await shop.add_job())
    await shop.publish(message)
    line.start()
    job = await shop.reached(message.job_id, "succeeded")
    (attempt,) = await shop.attempts(message.job_id)
    assert (attempt["stamped_at"], attempt["session_id"]) == (message.stamped_at, job["session_id"])
    assert job["session_id"] is not None


async def test_an_edit_is_rendered_instead_of_what_was_submitted(line: Line) -> None:
    """An operator's overrides are merged into the input that was submitted, which stays as it is."""
    shop = line.workshop
    overrides = json.dumps({"input": {"num_inference_steps": 1, "width": 128}})
    job_id = await shop.submit(job_input(num_inference_steps=999), overrides=overrides)
    line.start()
    job = await shop.reached(job_id, "succeeded")
    (output,) = json.loads(job["outputs"])
    assert (output["width"], output["height"]) == (128, 64)
    assert json.loads(job["input"])["num_inference_steps"] == 999


async def test_a_job_past_its_deadline_is_not_claimed(line: Line) -> None:
    """The sweep ends it; its message goes away."""
    shop = line.workshop
    past: dict[str, Any] = {"deadline": timedelta(minutes=1), "deadline_at": datetime.now(UTC) - timedelta(seconds=1)}
    job_id = await shop.submit(**past)
    line.start()
    await shop.consumed()
    assert (await shop.job(job_id))["status"] == "queued"


async def test_a_paused_model_s_job_is_parked(line: Line) -> None:
    """A worker that has not noticed the pause finds it at the claim: the message is parked, and the job waits."""
    shop = line.workshop
    await shop.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'test', 'x')")
    message = await shop.add_job()
    await shop.publish(message)
    line.start()
    await eventually(shop.anything_parked, what="the message is parked")
    parked = await shop.job(message.job_id)
    assert (parked["status"], parked["attempt"]) == ("queued", 0)
    await shop.execute("DELETE FROM paused_models")
    await shop.reached(message.job_id, "succeeded")


async def test_a_park_is_on_the_job_s_record(line: Line) -> None:
    """Until its lane is over the message can't be in the queue, and must not count as lost."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_NOT_DUE, message.job_id, timedelta(seconds=50))
    assert timedelta(seconds=50) < await announced_after_park(line, message) < timedelta(seconds=80)


async def test_a_park_leaves_a_later_announcement(line: Line) -> None:
    """A newer message may wait for longer than the parked one: the record keeps the later moment."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_NOT_DUE, message.job_id, timedelta(seconds=50))
    await shop.execute("UPDATE jobs SET announced_at = now() + interval '5 minutes'")
    assert await announced_after_park(line, message) >= timedelta(minutes=5)


async def announced_after_park(line: Line, message: RenderMessage) -> timedelta:
    """Let the message be parked. Return how long after the job's creation it can reach its queue, by the record."""
    shop = line.workshop
    await shop.publish(message)
    line.start()
    await shop.waiting_becomes(1, "darkroom.retry.1mb.v1")
    await line.stop()
    job = await shop.job(message.job_id)
    wait: timedelta = job["announced_at"] - job["created_at"]
    return wait


async def test_the_message_of_a_dead_job_is_rejected(line: Line) -> None:
    """A redelivery of a job that is dead in this generation reaches the dead letters."""
    shop = line.workshop
    message = await shop.add_job()
    await shop.execute(SET_DEAD, message.job_id)
    await shop.publish(message)
    line.start()
    assert (await shop.take(DEAD_QUEUE)).body == encode_render(message)
