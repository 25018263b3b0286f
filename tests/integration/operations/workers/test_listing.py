"""The workers, as operators see them."""

import json

import pytest

from chassis.postgres import Database
from darkroom_contracts.api.workers import WorkerState
from operations.alerts.alerts import Alerts
from operations.alerts.records import WORKER_LOST
from operations.workers import store
from operations.workers.listing import Workers
from tests.integration.operations.jobs import Jobs

LEASE = 15.0
DESCRIBE = """
    UPDATE worker_sessions SET device = 'NVIDIA H100', gpu_id = 'GPU-1', model_revision = 'sha256:1', versions = $1,
        memory_bytes = 5000000000
"""
SILENT = "UPDATE worker_sessions SET last_beat_at = now() - make_interval(secs => $1)"


@pytest.fixture
def workers(pool: Database) -> Workers:
    return Workers(pool, LEASE)


async def test_a_worker_shows_what_it_renders_with_and_what_it_does(workers: Workers, jobs: Jobs) -> None:
    """Hardware, versions, the job with its step, and how its attempts ended."""
    session = await jobs.session()
    await jobs.execute(DESCRIBE, json.dumps({"torch": "2.13.0"}))
    await jobs.dead()
    running = await jobs.running(worker="ansel")
    (worker,) = (await workers.show()).workers
    assert (worker.worker, worker.session_id, worker.state) == ("ansel", session, WorkerState.BUSY)
    assert (worker.device, worker.gpu_id, worker.memory_bytes) == ("NVIDIA H100", "GPU-1", 5_000_000_000)
    assert worker.versions == {"torch": "2.13.0"}
    assert [(job.id, job.attempt, job.step, job.steps) for job in worker.jobs] == [(running, 1, 1, 4)]
    assert (worker.outcomes, worker.errors) == ({"failed": 1}, {"pipeline_error": 1})


async def test_a_silent_worker_is_named(workers: Workers, jobs: Jobs) -> None:
    """After a lease without a heartbeat its jobs are taken back."""
    await jobs.session()
    await jobs.execute(SILENT, LEASE + 1)
    (worker,) = (await workers.show()).workers
    assert worker.state == WorkerState.SILENT


async def test_a_lost_worker_is_named_until_it_is_back(workers: Workers, pool: Database, jobs: Jobs) -> None:
    """Its session was ended for its silence, and its alert is open."""
    session = await jobs.session()
    async with pool.transaction() as connection:
        await Alerts("").open(connection, WORKER_LOST, "ansel", {"session_id": session})
    await jobs.execute("UPDATE worker_sessions SET ended_at = last_beat_at")
    (worker,) = (await workers.show()).workers
    assert (worker.worker, worker.state, worker.session_id) == ("ansel", WorkerState.LOST, session)
    again = await jobs.session()
    (worker,) = (await workers.show()).workers
    assert (worker.state, worker.session_id) == (WorkerState.STARTING, again)


async def test_workers_that_ended_are_left_out(workers: Workers, jobs: Jobs) -> None:
    """A stopped worker is expected to be away."""
    await jobs.session()
    await jobs.execute("UPDATE worker_sessions SET ended_at = now()")
    assert (await workers.show()).workers == ()


async def test_workers_can_be_asked_for_by_name_and_model(workers: Workers, jobs: Jobs) -> None:
    """Both filters together name one."""
    await jobs.session()
    await jobs.session(model="other")
    await jobs.execute("UPDATE worker_sessions SET worker = 'dorothea' WHERE model = 'other'")
    for filters, names in (
        ({}, ["ansel", "dorothea"]),
        ({"worker": "ansel"}, ["ansel"]),
        ({"model": "other"}, ["dorothea"]),
        ({"worker": "ansel", "model": "other"}, []),
    ):
        assert [worker.worker for worker in (await workers.show(**filters)).workers] == names


async def test_attempts_are_counted_among_the_newest(
    workers: Workers, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many attempts there were, a list reads a bounded number."""
    monkeypatch.setattr(store, "NEWEST_ATTEMPTS", 2)
    await jobs.session()
    for _ in range(3):
        await jobs.dead()
    (worker,) = (await workers.show()).workers
    assert worker.outcomes == {"failed": 2}
