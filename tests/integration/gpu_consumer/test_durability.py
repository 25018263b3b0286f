"""Tests of which writes of a worker wait for the disk."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.messages.v1 import Render
from gpu_consumer.job.store import queries
from tests.integration.gpu_consumer.workshop import Workshop


@pytest.fixture
async def one_connection(workshop: Workshop) -> AsyncIterator[Database]:
    url = workshop.environment["DARKROOM_DATABASE_URL"]
    async with Database(DatabaseSettings(database_url=url, database_connections=1), "durability") as database:
        yield database


async def claim(connection: Connection, message: Render) -> None:
    taken = await queries.claim(
        connection,
        job_id=message.job_id,
        generation=message.generation,
        token=uuid4(),
        worker="anna",
        session=uuid4(),
        lease=timedelta(seconds=5),
        stamped_at=None,
        rendered=False,
    )
    assert taken is not None


async def test_a_claim_alone_does_not_wait(workshop: Workshop, one_connection: Database) -> None:
    """A claim's own transaction does not wait for the disk, and whatever the connection commits next does again."""
    message = await workshop.add_job()
    async with one_connection.transaction() as connection:
        await claim(connection, message)
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
    async with one_connection.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_heartbeats_touch_no_index(workshop: Workshop, one_connection: Database) -> None:
    """Of a thousand at least 99 % are HOT updates: they write no index, whose pages would be the most of their WAL."""
    # Another session's snapshot, such as autovacuum's, keeps old versions from being pruned; then an update finds no
    # room in its page. So the first good thousand counts, of as many as half a minute has.
    await workshop.execute("ALTER TABLE jobs SET (autovacuum_enabled = false)")
    messages = [await workshop.add_job() for _ in range(20)]
    async with asyncio.timeout(30), one_connection.connection() as connection:
        for message in messages:
            await claim(connection, message)
        tokens = {row["id"]: row["lease_token"] for row in await connection.fetch("SELECT id, lease_token FROM jobs")}
        while await hot_heartbeats(connection, tokens) < 990:
            pass


async def hot_heartbeats(connection: Connection, tokens: dict[UUID, UUID]) -> int:
    """Send 50 heartbeats for each of 20 jobs. Return how many were HOT updates."""
    before = await updates(connection)
    for step in range(50):
        for job_id, token in tokens.items():
            beat = await queries.heartbeat(
                connection, job_id=job_id, token=token, lease=timedelta(seconds=5), step=step, steps=50
            )
            assert beat is not None
    after = await updates(connection)
    assert after["all"] - before["all"] == 1000
    return int(after["hot"] - before["hot"])


async def updates(connection: Connection) -> asyncpg.Record:
    """Return the number of updates of jobs: all, and those that touched no index."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return await connection.fetchrow(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relname = 'jobs'"
    )


async def test_a_claim_in_autocommit_leaves_nothing_behind(workshop: Workshop, one_connection: Database) -> None:
    """Claimed as a worker claims, without a transaction around it, the next commit waits for the disk."""
    message = await workshop.add_job()
    async with one_connection.connection() as connection:
        await claim(connection, message)
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
