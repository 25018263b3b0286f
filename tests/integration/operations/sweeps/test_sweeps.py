import asyncio
from uuid import UUID

import asyncpg
import pytest

from chassis.postgres import Database
from operations.sweeps.loops import EndSessions, Expire, Rescue
from operations.sweeps.sweep import BATCH
from tests.integration.operations.jobs import Jobs
from tests.support.clocks import Clock

LEASE_SECONDS = 15.0


async def _vigilant(pool: Database) -> Rescue:
    """Return a rescue that has waited for its first lease."""
    clock = Clock()
    rescue = Rescue(pool, LEASE_SECONDS, clock)
    await rescue.run_once()
    clock.seconds = LEASE_SECONDS
    return rescue


async def test_a_lost_job_is_queued_again(pool: Database, jobs: Jobs) -> None:
    """A job whose lease ran out is queued with an outbox row, and its attempt is recorded as lost."""
    job_id = await jobs.running(lease="-1 second", worker="ansel")
    rescue = await _vigilant(pool)
    assert await rescue.run_once() is False
    job = await jobs.row(job_id)
    assert (job["status"], job["attempt"], job["lease_token"]) == ("queued", 1, None)
    assert '"worker_lost"' in job["error"]
    assert await jobs.value("SELECT outcome FROM attempts WHERE job_id = $1", job_id) == "lost"
    assert await jobs.value("SELECT count(*) FROM outbox WHERE job_id = $1 AND generation = 1", job_id) == 1


async def test_a_held_job_is_left_alone(pool: Database, jobs: Jobs) -> None:
    """A job with a valid lease stays with its worker."""
    job_id = await jobs.running(lease="1 minute")
    await (await _vigilant(pool)).run_once()
    assert await jobs.status(job_id) == "running"


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"cancel_requested_at": "now()"}, "canceled"),
        ({"expires_at": "now()"}, "expired"),
        ({"deadline": "'1 hour'", "deadline_at": "now()"}, "expired"),
        ({"max_attempts": "attempt"}, "failed"),
        ({"cancel_requested_at": "now()", "expires_at": "now()", "max_attempts": "attempt"}, "canceled"),
    ],
)
async def test_a_lost_job_ends_when_it_must(pool: Database, jobs: Jobs, columns: dict[str, str], status: str) -> None:
    """A lost job with a cancel request, an expired time or no attempts left ends accordingly."""
    job_id = await jobs.running(lease="-1 second")
    await jobs.set(job_id, **columns)
    await (await _vigilant(pool)).run_once()
    assert await jobs.status(job_id) == status
    assert await jobs.value("SELECT count(*) FROM outbox") == 0
    assert await jobs.value("SELECT event FROM webhook_deliveries WHERE job_id = $1", job_id) == f"job.{status}"
    assert await jobs.value("SELECT count(*) FROM dead_letters") == (1 if status == "failed" else 0)


async def test_a_lost_job_that_had_not_begun_has_its_attempt_back(pool: Database, jobs: Jobs) -> None:
    """An attempt lost before its render began is refunded three times; then it counts."""
    job_id = await jobs.queued()
    await jobs.set(job_id, max_attempts="1")
    rescue = await _vigilant(pool)
    found = []
    for _ in range(4):
        await jobs.claim(job_id, lease="-1 second")
        await jobs.set(job_id, step="NULL")
        await rescue.run_once()
        found.append(await _counted(jobs, job_id))
    assert found == [("queued", 0, 1), ("queued", 0, 2), ("queued", 0, 3), ("failed", 1, 3)]
    refunded = await jobs.fetch("SELECT refunded FROM attempts WHERE job_id = $1 ORDER BY started_at", job_id)
    assert [row["refunded"] for row in refunded] == [True, True, True, False]


async def _counted(jobs: Jobs, job_id: UUID) -> tuple[str, int, int]:
    job = await jobs.row(job_id)
    return job["status"], job["attempt"], job["refunds"]


async def test_two_rescues_take_each_job_once(pool: Database, jobs: Jobs) -> None:
    """Concurrent rescues share the lost jobs; each job loses one attempt and gets one outbox row."""
    lost = [await jobs.running(lease="-1 second") for _ in range(30)]
    rescues = await asyncio.gather(*(_vigilant(pool) for _ in range(3)))
    await asyncio.gather(*(rescue.run_once() for rescue in rescues))
    rows = await jobs.fetch("SELECT status, attempt, version FROM jobs WHERE id = ANY ($1)", lost)
    assert {tuple(row) for row in rows} == {("queued", 1, 3)}
    assert await jobs.value("SELECT count(*) FROM outbox") == len(lost)
    assert await jobs.value("SELECT count(*) FROM attempts WHERE outcome = 'lost'") == len(lost)


@pytest.mark.parametrize("row", ["outbox", "jobs"])
async def test_a_locked_row_delays_no_other_rescue(pool: Database, jobs: Jobs, row: str) -> None:
    """Nine of ten lost jobs are rescued while another process locks a row of the tenth, which follows later."""
    running = "SELECT id FROM jobs WHERE status = 'running'"
    lost = [await jobs.running(lease="-1 second") for _ in range(10)]
    await jobs.execute("INSERT INTO outbox (job_id, generation, model) SELECT id, generation, queue FROM jobs")
    rescue = await _vigilant(pool)
    async with pool.transaction() as frozen:
        await frozen.execute(
            f"SELECT FROM {row} WHERE {'job_id' if row == 'outbox' else 'id'} = $1 FOR UPDATE", lost[4]
        )
        await rescue.run_once()
        assert [found["id"] for found in await jobs.fetch(running)] == [lost[4]]
    await rescue.run_once()
    assert await jobs.fetch(running) == []


async def test_jobs_that_waited_too_long_expire(pool: Database, jobs: Jobs) -> None:
    """A queued job past its time to live expires, with its error and webhook delivery; other jobs stay."""
    late = await jobs.queued(expires_at="now()")
    in_time = await jobs.queued()
    running = await jobs.running(expires_at="now()")
    await Expire(pool).run_once()
    assert [await jobs.status(job_id) for job_id in (late, in_time, running)] == ["expired", "queued", "running"]
    assert [tuple(row) for row in await jobs.fetch("SELECT job_id, event FROM webhook_deliveries")] == [
        (late, "job.expired")
    ]
    assert await jobs.value(f"SELECT error ->> 'code' FROM jobs WHERE id = '{late}'") == "expired"


async def test_jobs_past_their_deadline_expire(pool: Database, jobs: Jobs) -> None:
    """The error says whether the time to live or the deadline passed; running jobs stay."""
    late = await jobs.queued(deadline="'1 hour'", deadline_at="now()")
    both = await jobs.queued(deadline="'1 hour'", deadline_at="now()", expires_at="now()")
    in_time = await jobs.queued(deadline="'1 hour'", deadline_at="now() + interval '1 minute'")
    running = await jobs.running(deadline="'1 hour'", deadline_at="now()")
    await Expire(pool).run_once()
    statuses = [await jobs.status(job_id) for job_id in (late, both, in_time, running)]
    assert statuses == ["expired", "expired", "queued", "running"]
    codes = await jobs.fetch("SELECT DISTINCT error ->> 'code' FROM jobs WHERE status = 'expired'")
    assert [tuple(row) for row in codes] == [("deadline_exceeded",)]


async def test_a_sweep_takes_a_batch_a_round(pool: Database, jobs: Jobs) -> None:
    """A round acts on a bounded batch and reports whether more rows may be due."""
    late = [await jobs.queued(expires_at="now()") for _ in range(BATCH + 1)]
    expire = Expire(pool)
    assert await expire.run_once() is True
    assert await jobs.value("SELECT count(*) FROM jobs WHERE status = 'expired'") == BATCH
    assert await expire.run_once() is False
    assert await jobs.value("SELECT count(*) FROM jobs WHERE status = 'expired'") == len(late)


async def test_two_sweeps_expire_each_job_once(pool: Database, jobs: Jobs) -> None:
    """Concurrent sweeps share a backlog, and each job has one webhook delivery."""
    late = [await jobs.queued(expires_at="now()") for _ in range(60)]
    await asyncio.gather(*(Expire(pool).run_once() for _ in range(3)))
    assert await jobs.value("SELECT count(*) FROM jobs WHERE status = 'expired' AND version = 2") == len(late)
    assert await jobs.value("SELECT count(*) FROM webhook_deliveries") == len(late)


async def test_silent_sessions_are_ended(pool: Database, jobs: Jobs) -> None:
    """A session without a heartbeat for five minutes ends at its last one; other sessions stay."""
    silent = await jobs.session(last_beat="now() - interval '5 minutes 1 second'")
    alive = await jobs.session(last_beat="now() - interval '4 minutes'")
    ended = await jobs.session(last_beat="now() - interval '1 hour'")
    await jobs.execute("UPDATE worker_sessions SET ended_at = '2026-01-01' WHERE id = $1", ended)
    sweep = EndSessions(pool, lease_seconds=0)
    await sweep.run_once()
    rows = await jobs.fetch("SELECT id, ended_at = last_beat_at AS at_its_beat, ended_at FROM worker_sessions")
    found = {row["id"]: row for row in rows}
    assert found[silent]["at_its_beat"] is True
    assert found[alive]["ended_at"] is None
    assert found[ended]["at_its_beat"] is False


async def test_a_sweep_raises_what_postgres_says(pool: Database, jobs: Jobs) -> None:
    """A sweep raises the errors of the database."""
    await jobs.execute("ALTER TABLE jobs RENAME COLUMN expires_at TO hidden")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await Expire(pool).run_once()
