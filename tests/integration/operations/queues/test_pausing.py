"""Pausing and resuming models."""

import json

import pytest

from chassis.postgres import Database
from operations.queues.pausing import UnknownModelError
from tests.integration.operations.jobs import Jobs
from tests.integration.operations.queues.stand import Stand

AUDIT = "SELECT actor, action, subject, reason, before, after FROM audit_log ORDER BY id"


@pytest.fixture
def stand(pool: Database) -> Stand:
    return Stand(pool)


async def test_a_pause_is_seen_at_once_and_says_what_it_may_cost(stand: Stand, jobs: Jobs) -> None:
    """It counts the model's waiting jobs that an hour's or a day's pause would let expire."""
    for ends in (
        "expires_at = now() + interval '30 minutes'",
        "deadline_at = now() + interval '30 minutes', deadline = '1 hour'",
    ):
        job_id = await jobs.queued(expires_at="now() + interval '30 days'")
        await jobs.execute(f"UPDATE jobs SET {ends} WHERE id = $1", job_id)
    await jobs.queued(expires_at="now() + interval '20 hours'")
    await jobs.queued(expires_at="now() + interval '2 days'")
    await jobs.queued(model="'other'", expires_at="now() + interval '1 minute'")
    await stand.overview.show()
    reply = await stand.pausing.pause("a key", "tiny", "new weights")
    assert (reply.expiring_within_hour, reply.expiring_within_day) == (2, 3)
    assert (reply.paused.by, reply.paused.reason) == ("a key", "new weights")
    assert (await stand.overview.show("tiny")).queues[0].paused == reply.paused


async def test_a_second_pause_changes_the_reason(stand: Stand, jobs: Jobs) -> None:
    """The model is paused since the first one; the audit log has both."""
    first = await stand.pausing.pause("a key", "tiny", "new weights")
    second = await stand.pausing.pause("another", "tiny", "a fire")
    assert (second.paused.at, second.paused.by, second.paused.reason) == (first.paused.at, "another", "a fire")
    _, entry = await jobs.fetch(AUDIT)
    assert (entry["actor"], entry["subject"], entry["reason"]) == ("another", "tiny", "a fire")
    assert json.loads(entry["before"])["reason"] == "new weights"
    assert json.loads(entry["after"])["reason"] == "a fire"


async def test_a_resume_ends_the_pause_once(stand: Stand, jobs: Jobs) -> None:
    """Resuming a model that is not paused changes nothing, and leaves no entry."""
    await stand.pausing.pause("a key", "tiny", "new weights")
    assert [(await stand.pausing.resume("a key", "tiny")).resumed for _ in range(2)] == [True, False]
    assert (await stand.overview.show("tiny")).queues[0].paused is None
    assert [entry["action"] for entry in await jobs.fetch(AUDIT)] == ["model.pause", "model.resume"]


async def test_an_unknown_model_is_refused(stand: Stand, jobs: Jobs) -> None:
    """A typing mistake pauses nothing."""
    with pytest.raises(UnknownModelError):
        await stand.pausing.pause("a key", "tinny", "new weights")
    with pytest.raises(UnknownModelError):
        await stand.pausing.resume("a key", "tinny")
    assert await jobs.value("SELECT count(*) FROM paused_models") == 0
    assert await jobs.fetch(AUDIT) == []


async def test_a_model_that_left_the_catalogue_can_be_resumed(stand: Stand, jobs: Jobs) -> None:
    """Its pause keeps it in the list."""
    await jobs.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('retired', 'ada', 'x')")
    assert (await stand.pausing.resume("a key", "retired")).resumed
