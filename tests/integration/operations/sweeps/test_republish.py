"""The republish sweep: only jobs whose message is proved to be lost are published again."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from chassis.postgres import Database, load_queries
from operations.sweeps.loops import Republish
from tests.integration.operations.jobs import Jobs

LEASE_SECONDS = 15.0
REPUBLISH = load_queries("operations.sweeps").republish_lost_jobs.sql
AN_HOUR = timedelta(hours=1)
ANNOUNCED = "'2026-11-25 12:00:00+00'"
"""The latest moment at which the newest message of the tested job can have reached its queue."""
A_MINUTE_LATER = f"{ANNOUNCED}::timestamptz + interval '60 seconds'"
JUST_BEFORE_THAT = f"{ANNOUNCED}::timestamptz + interval '59 seconds 900 milliseconds'"
LONG_AGO = "now() - interval '1 hour'"


@pytest.fixture
def republish(pool: Database) -> Republish:
    """Return a sweep that does not wait for a lease."""
    return Republish(pool, lease_seconds=0)


async def _published(jobs: Jobs) -> list[UUID]:
    return [row["job_id"] for row in await jobs.fetch("SELECT job_id FROM outbox ORDER BY id")]


async def test_an_overtaken_job_is_published_again(republish: Republish, jobs: Jobs) -> None:
    """The claim of a message that was stamped a minute later proves that the job's message is lost."""
    lost = await jobs.queued(AN_HOUR, announced_at=ANNOUNCED)
    await jobs.claimed(A_MINUTE_LATER, ago="10.1 seconds")
    await republish.run_once()
    assert await _published(jobs) == [lost]
    row = await jobs.row(lost)
    assert (row["status"], row["generation"], row["attempt"], row["version"]) == ("queued", 1, 0, 1)
    [message] = await jobs.fetch("SELECT *, created_at > now() - interval '1 minute' AS is_new FROM outbox")
    assert (message["generation"], message["model"], message["lane"], message["is_new"]) == (1, "tiny", None, True)


async def test_a_job_is_published_once_a_proof(republish: Republish, jobs: Jobs) -> None:
    """A proof does not apply to the message that a republish announced."""
    lost = await jobs.queued(AN_HOUR, announced_at=ANNOUNCED)
    await jobs.claimed(A_MINUTE_LATER, ago="1 minute")
    await republish.run_once()
    assert await jobs.value("SELECT announced_at > now() - interval '1 minute' FROM jobs WHERE id = $1", lost)
    await jobs.execute("DELETE FROM outbox")
    await republish.run_once()
    assert await _published(jobs) == []


@pytest.mark.parametrize(
    ("stamped", "ago"),
    [
        (JUST_BEFORE_THAT, "1 minute"),
        (A_MINUTE_LATER, "9 seconds"),
        (A_MINUTE_LATER, "5 minutes 1 second"),
        ("NULL", "1 minute"),
    ],
    ids=["not overtaken", "a young claim", "an old claim", "a message without a stamp"],
)
async def test_what_shows_no_overtaking(republish: Republish, jobs: Jobs, stamped: str, ago: str) -> None:
    """A lead of less than a minute, a claim younger than 10 s or older than 5 min, and no stamp prove nothing."""
    await jobs.queued(AN_HOUR, announced_at=ANNOUNCED)
    await jobs.claimed(stamped, ago)
    await republish.run_once()
    assert await _published(jobs) == []


async def test_waiting_alone_proves_nothing(republish: Republish, jobs: Jobs) -> None:
    """A long wait without a proof never republishes a job."""
    await jobs.queued(timedelta(days=30))
    await jobs.session()
    await republish.run_once()
    assert await _published(jobs) == []


@pytest.mark.parametrize(
    "answers", [{"empty": "{}"}, {"empty": "now()", "empty_before": "{}"}], ids=["the last", "the last but one"]
)
async def test_a_drained_queue_s_jobs_are_published_again(
    republish: Republish, jobs: Jobs, answers: dict[str, str]
) -> None:
    """An answer "empty" 10 s after the message proves its loss: the worker's last answer, or the one before."""
    lost = await jobs.queued(AN_HOUR)
    await jobs.session(**{name: answer.format("now() - interval '11 seconds'") for name, answer in answers.items()})
    await republish.run_once()
    assert await _published(jobs) == [lost]


@pytest.mark.parametrize(
    ("announced", "session"),
    [
        (LONG_AGO, {"empty": "now() - interval '9 seconds'"}),
        (LONG_AGO, {"empty": "now()", "empty_before": "now() - interval '9 seconds'"}),
        ("now() - interval '24 seconds'", {"empty": "now() - interval '15 seconds'"}),
        (LONG_AGO, {"empty": "now() - interval '2 minutes'", "last_beat": "now() - interval '61 seconds'"}),
        (LONG_AGO, {"empty": "now() - interval '30 seconds'", "model": "another"}),
        (LONG_AGO, {}),
    ],
    ids=["a young answer", "two young answers", "too soon after", "a dead worker", "another model", "no answer"],
)
async def test_what_shows_no_drained_queue(
    republish: Republish, jobs: Jobs, announced: str, session: dict[str, str]
) -> None:
    """Answers younger than 10 s or less than 10 s after the message prove nothing, nor do other workers'."""
    await jobs.queued(AN_HOUR, announced_at=announced)
    await jobs.session(**session)
    await republish.run_once()
    assert await _published(jobs) == []


async def test_an_ended_session_proves_nothing(republish: Republish, jobs: Jobs) -> None:
    """The answer of an ended session proves nothing: its worker may have died with an unacknowledged message."""
    await jobs.queued(AN_HOUR)
    session = await jobs.session(empty="now() - interval '30 seconds'")
    await jobs.execute("UPDATE worker_sessions SET ended_at = now() WHERE id = $1", session)
    await republish.run_once()
    assert await _published(jobs) == []


async def test_another_model_s_claims_prove_nothing(republish: Republish, jobs: Jobs) -> None:
    """Claims of another model prove nothing."""
    await jobs.queued(AN_HOUR, announced_at=ANNOUNCED)
    await jobs.claimed(A_MINUTE_LATER, ago="1 minute", model="another")
    await republish.run_once()
    assert await _published(jobs) == []


async def test_the_edited_model_s_queue_counts(republish: Republish, jobs: Jobs) -> None:
    """A job that an operator moved to another model is judged by that model's queue."""
    moved = await jobs.queued(AN_HOUR, overrides="""'{"model": "another"}'""")
    await jobs.queued(AN_HOUR)
    await jobs.session("another", empty="now() - interval '30 seconds'")
    await republish.run_once()
    assert await _published(jobs) == [moved]


@pytest.mark.parametrize(
    "columns",
    [
        {"next_attempt_at": "now() + interval '1 minute'", "attempt": "1"},
        {"announced_at": "now() + interval '1 minute'"},
    ],
    ids=["not due", "announced by its lane for later"],
)
async def test_a_retry_that_waits_is_left_alone(republish: Republish, jobs: Jobs, columns: dict[str, str]) -> None:
    """A retry that is not due is left alone: its message is in a lane."""
    await jobs.queued(AN_HOUR, **columns)
    await jobs.session(empty="now() - interval '30 seconds'")
    await republish.run_once()
    assert await _published(jobs) == []


async def test_a_retry_that_is_overdue_is_published_again(republish: Republish, jobs: Jobs) -> None:
    """An overdue retry whose queue is empty is published again, without a lane."""
    due = {"next_attempt_at": LONG_AGO, "announced_at": LONG_AGO, "attempt": "1"}
    lost = await jobs.queued(AN_HOUR, **due)
    await jobs.session(empty="now() - interval '30 seconds'")
    await republish.run_once()
    assert await _published(jobs) == [lost]
    assert await jobs.value("SELECT lane FROM outbox") is None


async def test_a_message_that_is_yet_to_be_published_is_not_doubled(republish: Republish, jobs: Jobs) -> None:
    """A job with an outbox row is left alone, and the row keeps its lane, time and backoff."""
    waiting = await jobs.queued(AN_HOUR)
    older = await jobs.queued(AN_HOUR, generation="2")
    await jobs.session(empty="now() - interval '30 seconds'")
    await jobs.execute(
        "INSERT INTO outbox (job_id, generation, model, lane, failures, created_at, available_at)"
        " VALUES ($1, 1, 'tiny', '10sa', 3, '2026-01-01', '2030-01-01'), ($2, 1, 'tiny', NULL, 0, now(), now())",
        waiting,
        older,
    )
    before = await jobs.fetch("SELECT * FROM outbox ORDER BY id")
    await republish.run_once()
    after = await jobs.fetch("SELECT * FROM outbox ORDER BY id")
    assert after[:2] == before
    assert [(row["job_id"], row["generation"]) for row in after[2:]] == [(older, 2)]


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "canceled", "expired"])
async def test_only_waiting_jobs_are_published_again(republish: Republish, jobs: Jobs, status: str) -> None:
    """Running and ended jobs are left alone."""
    job_id = await jobs.queued(AN_HOUR, announced_at=LONG_AGO)
    token = await jobs.claim(job_id)
    if status != "running":
        await jobs.finish(job_id, token, status)
    await jobs.session(empty="now() - interval '30 seconds'")
    await republish.run_once()
    assert await _published(jobs) == []


async def test_a_paused_model_is_left_alone(republish: Republish, jobs: Jobs) -> None:
    """Jobs of a paused model are published again only after it is resumed."""
    lost = await jobs.queued(AN_HOUR)
    await jobs.session(empty="now() - interval '30 seconds'")
    await jobs.execute("INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'test', 'a pause')")
    await republish.run_once()
    assert await _published(jobs) == []
    await jobs.execute("DELETE FROM paused_models")
    await republish.run_once()
    assert await _published(jobs) == [lost]


async def test_sweeps_at_once_publish_each_job_once(pool: Database, jobs: Jobs) -> None:
    """Concurrent sweeps share the lost jobs, and each job gets one message."""
    lost = {await jobs.queued(AN_HOUR) for _ in range(60)}
    await jobs.session(empty="now() - interval '30 seconds'")
    await asyncio.gather(*(Republish(pool, lease_seconds=0).run_once() for _ in range(3)))
    assert sorted(await _published(jobs)) == sorted(lost)
    later = "SELECT count(*) FROM jobs JOIN outbox ON job_id = jobs.id WHERE announced_at > outbox.created_at"
    assert await jobs.value(later) == 0


async def test_a_job_that_moved_on_meanwhile_is_left_alone(republish: Republish, jobs: Jobs, database: str) -> None:
    """A job that changes during the sweep, by a reap or a claim, is left alone."""
    renewed, claimed, lost = [await jobs.queued(AN_HOUR) for _ in range(3)]
    await jobs.session(empty="now() - interval '30 seconds'")
    async with Jobs.connected(database) as others:
        await others.execute("BEGIN")
        await others.set(renewed, announced_at="now()")
        await others.claim(claimed)
        await republish.run_once()
        assert await _published(jobs) == [lost]
        await others.execute("COMMIT")
    await republish.run_once()
    assert await _published(jobs) == [lost]


async def test_a_round_takes_a_batch(republish: Republish, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round republishes a bounded batch and reports whether more jobs may be lost."""
    monkeypatch.setattr(Republish, "batch", 7)
    lost = [await jobs.queued(AN_HOUR) for _ in range(16)]
    await jobs.session(empty="now() - interval '30 seconds'")
    assert [await republish.run_once() for _ in range(3)] == [True, True, False]
    assert sorted(await _published(jobs)) == sorted(lost)
