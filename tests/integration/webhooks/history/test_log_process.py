"""The log of a service that runs as a process, and dies."""

import asyncio

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.history.log import Log
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.processes import ServiceProcess
from tests.support.waiting import eventually
from webhooks.history.recovery import BATCH

FAILED = 10_000
BODY = {"since": "2000-01-01T00:00:00Z"}


@pytest.fixture
async def client(rows: asyncpg.Connection) -> httpx2.AsyncClient:
    """Return a client of the tenant `ada`."""
    key = (await insert_key(rows, "ada")).reveal()
    return httpx2.AsyncClient(timeout=60, headers={"Authorization": f"Bearer {key}"}, trust_env=False)


async def test_a_recovery_that_is_killed_can_be_repeated(
    start_service: ServiceFactory, database: str, rows: asyncpg.Connection, client: httpx2.AsyncClient
) -> None:
    """Whole transactions stay done, the oldest deliveries first; the same request does the rest."""
    settings = {"DARKROOM_DATABASE_URL": database, "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY}
    log = Log(rows, await rows.fetchval("SELECT id FROM tenants WHERE name = 'ada'"))
    endpoint = await log.endpoint()
    await log.execute("UPDATE webhook_endpoints SET status = 'paused' WHERE id = $1", endpoint)
    made = await log.deliver(endpoint, FAILED, "failed")
    first = await start_service("webhooks", settings)
    async with client:
        asked = asyncio.create_task(recover(client, first, endpoint))
        await eventually(lambda: _has_begun(log), what="the recovery has begun")
        first.kill()
        with pytest.raises(httpx2.TransportError):
            await asked
        done = await settled(log)
        assert 0 < len(done) < FAILED
        assert len(done) % BATCH == 0
        assert done == made[: len(done)]
        reply = await recover(client, await start_service("webhooks", settings), endpoint)
    assert reply == {"redelivered": FAILED - len(done), "next_since": None}
    assert await log.with_status("pending") == made


async def recover(client: httpx2.AsyncClient, service: ServiceProcess, endpoint: object) -> object:
    """Return what a recovery did."""
    response = await client.post(f"{service.url}/v1/webhook-endpoints/{endpoint}/recover", json=BODY)
    assert response.status_code == 200, response.text
    return {name: value for name, value in response.json().items() if name != "kept_since"}


async def _has_begun(log: Log) -> bool:
    return bool(await log.with_status("pending"))


async def settled(log: Log) -> list[object]:
    """Return what waits, once the server has ended the transactions of the killed process."""
    await eventually(lambda: _is_quiet(log), what="no transaction is open")
    return list(await log.with_status("pending"))


async def _is_quiet(log: Log) -> bool:
    return not await log.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND xact_start IS NOT NULL AND backend_type = 'client backend'"
    )
