"""The conditions that operators are alerted of."""

from datetime import timedelta

import pytest

from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.alerts.records import Terms
from operations.alerts.watch import Watch
from tests.integration.operations.alerts.desk import rounds, subscribe, told
from tests.integration.operations.jobs import Jobs
from tests.support.clocks import Clock

TERMS = Terms(lease=15, stalled=120, stuck=60)
AGE = timedelta(minutes=5)
PAUSE = "INSERT INTO paused_models (model, paused_by, reason) VALUES ('tiny', 'ada', 'new weights')"
SILENT = "UPDATE worker_sessions SET last_beat_at = now() - make_interval(secs => $1)"
OUTBOX = """
    INSERT INTO outbox (job_id, generation, model, lane, created_at, available_at)
    SELECT id, 1, model, $1, now() - make_interval(secs => $2), now() + interval '30 seconds' FROM jobs
"""


@pytest.fixture
async def watch(pool: Database, jobs: Jobs) -> Watch:
    """Return a watch that has been connected for longer than a lease."""
    await subscribe(jobs)
    clock = Clock()
    made = Watch(pool, Alerts(""), TERMS, clock)
    await made.run_once()
    clock.seconds += TERMS.lease
    return made


async def open_subjects(jobs: Jobs) -> list[tuple[str, str]]:
    rows = await jobs.fetch("SELECT kind, subject FROM alerts WHERE resolved_at IS NULL ORDER BY kind, subject")
    return [tuple(row) for row in rows]


async def test_a_queue_that_no_worker_takes_from_is_stalled(watch: Watch, jobs: Jobs) -> None:
    """It is sent once, after the second round that finds it, and resolved when a job is claimed."""
    waiting = await jobs.queued(AGE)
    await rounds(watch, 1)
    assert await open_subjects(jobs) == []
    await rounds(watch, 3)
    assert await open_subjects(jobs) == [("queue.stalled", "tiny")]
    ((event, data),) = await told(jobs)
    assert (event, data["workers"], data["link"]) == ("queue.stalled", 0, "/v1/operations/queues?model=tiny")
    await jobs.claim(waiting)
    await rounds(watch, 1)
    assert await open_subjects(jobs) == []
    assert [data["resolved_at"] is None for _, data in await told(jobs)] == [True, False]


async def test_a_queue_that_only_waits_long_is_not_stalled(watch: Watch, jobs: Jobs) -> None:
    """While a job of the model runs or was claimed lately, its backlog moves."""
    await jobs.queued(AGE)
    session = await jobs.session()
    running = await jobs.queued()
    token = await jobs.claim(running, session=session)
    await rounds(watch, 2)
    await jobs.finish(running, token, "succeeded")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == []
    await jobs.execute("UPDATE attempts SET started_at = now() - interval '1 hour'")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == [("queue.stalled", "tiny")]


async def test_another_model_s_claims_do_not_hide_a_stalled_queue(watch: Watch, jobs: Jobs) -> None:
    """Claims count for the model of their session."""
    await jobs.queued(AGE)
    other = await jobs.queued(model="'other'")
    await jobs.claim(other, session=await jobs.session(model="other"))
    await rounds(watch, 2)
    assert await open_subjects(jobs) == [("queue.stalled", "tiny")]


async def test_a_paused_model_is_not_stalled(watch: Watch, jobs: Jobs) -> None:
    """A pause prevents the alert, and resolves one that is open."""
    await jobs.queued(AGE)
    await rounds(watch, 2)
    await jobs.execute(PAUSE)
    await rounds(watch, 2)
    assert await open_subjects(jobs) == []
    assert len(await told(jobs)) == 2


async def test_a_retry_that_waits_in_its_lane_stalls_nothing(watch: Watch, jobs: Jobs) -> None:
    """A message counts from when it reaches the queue."""
    await jobs.queued(AGE, announced_at="now() + interval '5 minutes'")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == []


async def test_a_worker_that_stops_beating_is_named_until_it_is_back(watch: Watch, jobs: Jobs) -> None:
    """After four leases; a session that was ended for its silence does not resolve the alert, a new one does."""
    await jobs.session()
    await jobs.execute(SILENT, TERMS.lost - 5)
    await rounds(watch, 2)
    assert await open_subjects(jobs) == []
    await jobs.execute(SILENT, TERMS.lost + 5)
    await rounds(watch, 2)
    await jobs.execute("UPDATE worker_sessions SET ended_at = last_beat_at")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == [("worker.lost", "ansel")]
    await jobs.session()
    await rounds(watch, 1)
    assert await open_subjects(jobs) == []
    (event, data), (_, end) = await told(jobs)
    assert (event, data["subject"], data["model"]) == ("worker.lost", "ansel", "tiny")
    assert data["session_id"] == end["session_id"]
    assert end["resolved_at"]


async def test_a_worker_that_ended_its_session_is_not_lost(watch: Watch, jobs: Jobs) -> None:
    """A stopped worker is not expected to beat."""
    await jobs.session()
    await jobs.execute("UPDATE worker_sessions SET last_beat_at = now() - interval '1 hour', ended_at = now()")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == []


async def test_a_worker_that_never_returns_is_forgotten_after_a_day(watch: Watch, jobs: Jobs) -> None:
    """Its alert is resolved then, since machines come and go."""
    await jobs.session()
    await jobs.execute(SILENT, 3600)
    await rounds(watch, 2)
    await jobs.execute("UPDATE worker_sessions SET ended_at = last_beat_at")
    await jobs.execute("UPDATE alerts SET opened_at = now() - interval '25 hours'")
    await rounds(watch, 1)
    assert await open_subjects(jobs) == []
    assert len(await told(jobs)) == 2


async def test_messages_that_nobody_publishes_are_stuck(watch: Watch, jobs: Jobs) -> None:
    """Each destination has its alert, though the relay's pauses move its rows into the future."""
    await jobs.queued()
    await jobs.execute(OUTBOX, None, TERMS.stuck + 5)
    await jobs.queued(model="'other'")
    await jobs.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, 2, 'other' FROM jobs")
    await rounds(watch, 2)
    assert await open_subjects(jobs) == [("outbox.stuck", "tiny")]
    await jobs.execute("DELETE FROM outbox")
    await rounds(watch, 1)
    assert await open_subjects(jobs) == []


async def test_an_outbox_that_is_late_but_moves_is_not_stuck(watch: Watch, jobs: Jobs) -> None:
    """Between two rounds the oldest message was published."""
    await jobs.queued()
    for _ in range(4):
        await jobs.execute("DELETE FROM outbox")
        await jobs.execute(OUTBOX, None, TERMS.stuck + 5)
        await rounds(watch, 1)
    assert await open_subjects(jobs) == []


async def test_two_processes_tell_each_alert_once(pool: Database, watch: Watch, jobs: Jobs) -> None:
    """Both look at the same database."""
    clock = Clock()
    other = Watch(pool, Alerts(""), TERMS, clock)
    await other.run_once()
    clock.seconds += TERMS.lease
    await jobs.queued(AGE)
    for _ in range(3):
        await rounds(watch, 1)
        await rounds(other, 1)
    assert len(await told(jobs)) == 1


async def test_it_waits_a_lease_after_postgres_was_away(pool: Database, jobs: Jobs) -> None:
    """Until then every worker looks silent."""
    clock = Clock()
    watch = Watch(pool, Alerts(""), TERMS, clock)
    await jobs.session()
    await jobs.execute(SILENT, 3600)
    await rounds(watch, 3)
    assert await open_subjects(jobs) == []
    clock.seconds += TERMS.lease
    await rounds(watch, 2)
    assert await open_subjects(jobs) == [("worker.lost", "ansel")]
