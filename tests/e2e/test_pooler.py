"""A whole Darkroom with PgBouncer in transaction mode before its database, on machines that have one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.states import JobStatus
from tests.support import pgbouncer
from tests.support.http_client import Client
from tests.support.pgbouncer import PgBouncer
from tests.support.ports import free_port
from tests.support.servers import LocalServer, temporary_folder
from tests.support.services import Services
from tests.support.stack import MODEL, Stack
from tests.support.stack_fixtures import StackFactory

POOL_SIZE = 4
POOLED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~ '^darkroom-(gateway|status|operations|gpu-consumer)$'
"""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(pgbouncer.find() is None, reason=pgbouncer.MISSING),
]


@pytest.fixture
async def pooler(services: Services) -> AsyncIterator[PgBouncer]:
    folder = temporary_folder("pgbouncer")
    part = PgBouncer(folder / "state", free_port(), services.database.url, str(pgbouncer.find()), POOL_SIZE)
    server = LocalServer(part, folder)
    await server.start()
    yield part
    await server.discard()


@pytest.fixture
async def pooled_stack(start_stack: StackFactory, pooler: PgBouncer) -> Stack:
    """Services that reach Postgres through the pooler, and directly only for locks and LISTEN."""
    return await start_stack(pooled=pooler.pooled)


async def test_jobs_go_their_way_behind_a_pooler(pooled_stack: Stack) -> None:
    """Many at once are rendered, one is canceled while it renders, and few server connections do."""
    await pooled_stack.worker("imogen")
    async with await pooled_stack.client() as client:
        jobs = await asyncio.gather(*(client.submit(MODEL) for _ in range(60)))
        await client.succeeded(*jobs)
        await _cancels(client)
    assert b"default" in await pooled_stack.command("bootstrap-key", "--name", "first")
    assert b"up to date" in await pooled_stack.command("migrate")
    ((pooled,),) = await pooled_stack.ledger.rows(POOLED)
    assert 1 <= pooled <= POOL_SIZE


async def _cancels(client: Client) -> None:
    """Cancel a running job: the request reaches the worker by a NOTIFY on its direct connection."""
    job_id = await client.submit(MODEL, steps=500)
    await client.rendering(job_id)
    await client.cancel(job_id)
    assert (await client.finished(job_id)).status == JobStatus.CANCELED


async def test_session_defaults_hold_behind_a_pooler(database: str, pooler: PgBouncer) -> None:
    """They are the role's, so that server connections that the pooler opened have them too."""
    settings = DatabaseSettings(database_url=pooler.pooled(database))
    async with Database(settings, "test") as pool, pool.connection() as connection:
        assert await connection.fetchval("SHOW jit") == "off"
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == "10s"
