"""What a revoked key queued is canceled, in bounded steps, however long the queue is."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

from chassis.keys import ApiKey
from chassis.postgres import Database, load_queries
from operations.keys import canceling
from operations.keys.canceling import CancelJobs
from operations.keys.lifecycle import revoke_key
from tests.integration.operations.jobs import Jobs
from tests.support.keys import insert_key
from tests.support.plans import explain, nodes

SUBMITTED = "UPDATE jobs SET key_id = $1 WHERE id = ANY ($2::uuid[])"


@pytest.fixture
async def leaked(rows: asyncpg.Connection) -> ApiKey:
    return await insert_key(rows)


async def revoke(pool: Database, key: ApiKey) -> None:
    await revoke_key(pool, "command:ada", key.id, cancel_jobs=True)


async def queued(jobs: Jobs, key: ApiKey, count: int = 1) -> list[UUID]:
    """Return jobs that wait and were submitted with a key."""
    made = [await jobs.queued() for _ in range(count)]
    await jobs.execute(SUBMITTED, key.id, made)
    return made


async def walk(loop: CancelJobs) -> int:
    """Run the loop to the end of a walk. Return the number of rounds."""
    rounds = 1
    while await loop.run_once():
        rounds += 1
    return rounds


async def statuses(jobs: Jobs) -> dict[str, int]:
    return {row["status"]: row["n"] for row in await jobs.fetch("SELECT status, count(*) AS n FROM jobs GROUP BY 1")}


async def is_marked(jobs: Jobs, key: ApiKey) -> bool:
    return bool(await jobs.value("SELECT cancels_jobs FROM api_keys WHERE id = $1", key.id))


async def test_its_queued_jobs_are_canceled(pool: Database, jobs: Jobs, leaked: ApiKey, rows: Any) -> None:
    """And no other key's. Without the wish, or before it, nothing is."""
    theirs, others = await queued(jobs, leaked, 3), await queued(jobs, await insert_key(rows), 2)
    loop = CancelJobs(pool, settled_seconds=0)
    await revoke_key(pool, "command:ada", leaked.id)
    assert not await loop.run_once()
    assert await statuses(jobs) == {"queued": 5}
    await revoke(pool, leaked)
    await walk(loop)
    assert [await jobs.status(job) for job in theirs] == ["canceled"] * 3
    assert [await jobs.status(job) for job in others] == ["queued"] * 2


async def test_a_running_job_is_asked_to_stop(
    pool: Database, jobs: Jobs, leaked: ApiKey, rows: asyncpg.Connection
) -> None:
    """Its worker is notified, as by a cancel; the mark stays until a walk finds nothing more to ask."""
    notified: list[str] = []
    await rows.add_listener(await jobs.value("SELECT cancel_channel('ansel')"), lambda *of: notified.append(of[-1]))
    running = await jobs.running(lease="1 hour")
    await jobs.execute(SUBMITTED, leaked.id, [running])
    await revoke(pool, leaked)
    loop = CancelJobs(pool, settled_seconds=0)
    await walk(loop)
    assert await jobs.value("SELECT cancel_requested_at IS NOT NULL FROM jobs WHERE id = $1", running)
    assert await is_marked(jobs, leaked)
    await walk(loop)
    assert not await is_marked(jobs, leaked)
    await rows.execute("SELECT 1")
    assert notified == [str(running)]


async def test_the_mark_goes_when_a_whole_walk_found_nothing(pool: Database, jobs: Jobs, leaked: ApiKey) -> None:
    """A walk that found jobs is followed by another one, which looks whether more came."""
    await queued(jobs, leaked)
    await revoke(pool, leaked)
    loop = CancelJobs(pool, settled_seconds=0)
    await walk(loop)
    assert await is_marked(jobs, leaked)
    await walk(loop)
    assert not await is_marked(jobs, leaked)


async def test_jobs_that_were_let_in_just_before_are_canceled_too(pool: Database, jobs: Jobs, leaked: ApiKey) -> None:
    """An authentication may be cached for seconds: until those are over the walks go on."""
    await revoke(pool, leaked)
    loop = CancelJobs(pool, settled_seconds=30)
    await walk(loop)
    [late] = await queued(jobs, leaked)
    await walk(loop)
    assert await jobs.status(late) == "canceled"
    await jobs.execute("UPDATE api_keys SET revoked_at = now() - interval '31 seconds' WHERE cancels_jobs")
    await walk(loop)
    assert not await is_marked(jobs, leaked)


async def test_a_job_that_is_locked_is_not_missed(
    pool: Database, jobs: Jobs, leaked: ApiKey, rows: asyncpg.Connection
) -> None:
    """A claim or the relay may hold it for a moment: the walk does not wait, and another one comes."""
    [held] = await queued(jobs, leaked)
    await revoke(pool, leaked)
    loop = CancelJobs(pool, settled_seconds=0)
    async with rows.transaction():
        await rows.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", held)
        await walk(loop)
    assert await jobs.status(held) == "queued"
    assert await is_marked(jobs, leaked)
    await walk(loop)
    assert await jobs.status(held) == "canceled"


async def test_a_long_queue_is_walked_in_steps(
    pool: Database, jobs: Jobs, leaked: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each a transaction of its own, over all models; another process, or a restart, begins anew and loses nothing."""
    monkeypatch.setattr(canceling, "BATCH", 4)
    theirs = await queued(jobs, leaked, 10)
    await jobs.execute("UPDATE jobs SET model = 'other' WHERE id = ANY ($1::uuid[])", theirs[::2])
    await revoke(pool, leaked)
    first = CancelJobs(pool, settled_seconds=0)
    assert await first.run_once()
    assert await statuses(jobs) == {"queued": 6, "canceled": 4}
    assert await walk(CancelJobs(pool, settled_seconds=0)) == 3
    assert await statuses(jobs) == {"canceled": 10}
    await walk(first)


async def test_a_round_that_fails_is_repeated(
    pool: Database, jobs: Jobs, leaked: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction changed nothing, and neither did it move the walk."""
    await queued(jobs, leaked, 2)
    await revoke(pool, leaked)
    loop = CancelJobs(pool, settled_seconds=0)
    advance = loop._advance

    async def fail(*args: Any) -> None:
        await advance(*args)
        raise ZeroDivisionError

    monkeypatch.setattr(loop, "_advance", fail)
    with pytest.raises(ZeroDivisionError):
        await loop.run_once()
    assert await statuses(jobs) == {"queued": 2}
    monkeypatch.setattr(loop, "_advance", advance)
    await walk(loop)
    assert await statuses(jobs) == {"canceled": 2}


HISTORY = """
    INSERT INTO jobs (id, tenant_id, key_id, model, input, traceparent, ttl, expires_at, status, completed_at)
    SELECT uuidv7(), tenant_id, 'other', 'tiny', '{}', traceparent, ttl, expires_at, 'canceled', now()
    FROM jobs, generate_series(1, 1000)
"""


BACKLOG = """
    INSERT INTO jobs (id, tenant_id, key_id, model, input, traceparent, ttl, expires_at)
    SELECT uuidv7(), tenant_id, 'other', 'tiny', '{}', traceparent, ttl, expires_at
    FROM jobs, generate_series(1, 1000) WHERE status = 'queued'
"""


@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_round_reads_the_queue_and_not_the_history(
    jobs: Jobs, leaked: ApiKey, rows: asyncpg.Connection, analyzed: bool, generic: bool
) -> None:
    """Whatever the statistics say: as many queued jobs as it looks at, and each of the key's once more."""
    await queued(jobs, leaked, 10)
    await rows.execute(HISTORY)
    await rows.execute(BACKLOG)
    if analyzed:
        await rows.execute("VACUUM ANALYZE jobs")
    for setting in ("seqscan", "bitmapscan", "sort"):
        await rows.execute(f"SET enable_{setting} = off")
    sql = load_queries("operations.keys").cancel_waiting.sql
    arguments = f"'', '-infinity', '{UUID(int=0)}', 5, ARRAY['{leaked.id}']"
    plan = await explain(rows, sql, arguments, generic=generic)
    scans = [node for node in nodes(plan) if node.get("Relation Name") == "jobs"]
    assert all(scan["Node Type"].startswith("Index") for scan in scans)
    assert [(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"] for scan in scans] == [
        5,
        5,
    ]
    assert await statuses(jobs) == {"queued": 10 * 1001 - 5, "canceled": 10 * 1000 + 5}
