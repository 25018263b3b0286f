"""Draining and resuming workers."""

import pytest

from chassis.postgres import Database
from darkroom_contracts.api.workers import WorkerState
from operations.workers.draining import Draining, UnknownWorkerError
from operations.workers.listing import Workers
from tests.integration.operations.jobs import Jobs

AUDIT = "SELECT actor, action, subject, reason FROM audit_log ORDER BY id"


@pytest.fixture
def draining(pool: Database) -> Draining:
    return Draining(pool)


async def state(pool: Database) -> WorkerState:
    (worker,) = (await Workers(pool, 15).show()).workers
    return worker.state


async def test_a_worker_drains_until_it_is_resumed(draining: Draining, pool: Database, jobs: Jobs) -> None:
    """It is draining while it holds a job, and drained after that."""
    await jobs.session()
    job_id = await jobs.queued()
    token = await jobs.claim(job_id)
    assert (await draining.drain("a key", "ansel", "a loud fan")).changed
    assert await state(pool) == WorkerState.DRAINING
    await jobs.finish(job_id, token, "succeeded")
    assert await state(pool) == WorkerState.DRAINED
    reply = await draining.resume("a key", "ansel")
    assert (reply.changed, reply.drain_requested_at) == (True, None)
    assert await state(pool) == WorkerState.STARTING


async def test_a_drain_is_asked_once(draining: Draining, jobs: Jobs) -> None:
    """Repeated, and a resume of a worker that takes jobs: nothing changes, and the audit log has no entry."""
    await jobs.session()
    first, second = [await draining.drain("a key", "ansel", "a loud fan") for _ in range(2)]
    assert (first.changed, second.changed) == (True, False)
    assert first.drain_requested_at == second.drain_requested_at
    assert [(await draining.resume("a key", "ansel")).changed for _ in range(2)] == [True, False]
    assert [tuple(row) for row in await jobs.fetch(AUDIT)] == [
        ("a key", "worker.drain", "ansel", "a loud fan"),
        ("a key", "worker.resume", "ansel", None),
    ]


async def test_a_worker_that_does_not_run_cannot_drain(draining: Draining, jobs: Jobs) -> None:
    """Neither an unknown one nor one whose session has ended."""
    await jobs.session()
    await jobs.execute("UPDATE worker_sessions SET ended_at = now()")
    for name in ("nobody", "ansel"):
        with pytest.raises(UnknownWorkerError):
            await draining.drain("a key", name, "x")
        with pytest.raises(UnknownWorkerError):
            await draining.resume("a key", name)
    assert await jobs.fetch(AUDIT) == []
