"""Postgres dies while a job renders, and with it a claim that had not reached the disk."""

import os
import signal

import asyncpg
import pytest

from tests.support.fixtures import DatabaseFactory
from tests.support.processes import render_process
from tests.support.stack import MODEL
from tests.support.stack_fixtures import StackFactory
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
HEALED_SECONDS = 120
"""Nothing that an outage leaves behind waits for longer."""


async def test_a_claim_that_died_with_postgres_is_made_again(
    private_postgres: DatabaseFactory, start_stack: StackFactory
) -> None:
    """Its worker finds no claim of its own and holds the job's only message: it claims again, and the job succeeds."""
    database = await private_postgres()
    stack = await start_stack(database=database)
    # Long leases, and no step: no heartbeat, whose commit would carry the claim to the disk, comes before the kill.
    rendering = render_process(await stack.worker("one", settings={"DARKROOM_LEASE_SECONDS": "60"}))
    async with await stack.client() as client:
        await _freeze_the_log_writer(database.url)
        rendering.suspend()
        job_id = await client.submit(MODEL, steps=500)
        await client.running(job_id)
        before = await stack.ledger.rows("SELECT lease_token FROM attempts")
        await database.kill()
        await database.start()
        assert await stack.ledger.rows("SELECT lease_token FROM attempts") == [], "the claim survived the crash"
        rendering.resume()
        await client.succeeded(job_id, seconds=HEALED_SECONDS)
    after = await stack.ledger.rows("SELECT lease_token, outcome FROM attempts")
    assert [row["outcome"] for row in after] == ["succeeded"]
    assert after[0]["lease_token"] != before[0]["lease_token"]

    async def settled() -> bool:
        return await stack.queues.waiting(f"darkroom.render.{MODEL}.v1") == 0

    await eventually(settled, what="the message is gone")


async def _freeze_the_log_writer(url: str) -> None:
    """Let what was committed without waiting for the disk stay in memory until the next commit that does wait."""
    connection = await asyncpg.connect(url)
    pid: int = await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    await connection.close()
    os.kill(pid, signal.SIGSTOP)
