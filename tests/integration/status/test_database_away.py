"""Without its database the service answers 503, and recovers by itself."""

from uuid import uuid4

import asyncpg
import pytest

from chassis.settings import load
from darkroom_contracts.models import Catalogue
from darkroom_local.ports import LOOPBACK
from status.app import open_app
from status.settings import Settings
from tests.integration.status.answers import assert_unavailable
from tests.integration.status.jobs import TenantJobs
from tests.support.declared import declared_client
from tests.support.fixtures import DatabaseFactory
from tests.support.ports import free_port
from tests.support.waiting import eventually


async def test_a_database_that_was_never_there_is_503(
    environment: dict[str, str], catalogue: Catalogue, jobs: TenantJobs
) -> None:
    """The 503 has Retry-After, and the service is not ready."""
    environment["DARKROOM_DATABASE_URL"] = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/none"
    async with open_app(load(Settings, environment)) as status, declared_client(status.http, jobs.key) as client:
        assert_unavailable(await client.get(f"/v1/jobs/{uuid4()}"))
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.chaos
async def test_a_restarted_database_is_found_again(
    private_postgres: DatabaseFactory, environment: dict[str, str], catalogue: Catalogue
) -> None:
    """The response is 503 while it is away, and the same as before once it is back."""
    server = await private_postgres()
    environment["DARKROOM_DATABASE_URL"] = url = await server.create_database()
    connection = await asyncpg.connect(url)
    jobs = await TenantJobs.of("default", connection)
    (job_id,) = await jobs.queue()
    await connection.close()
    async with open_app(load(Settings, environment)) as status, declared_client(status.http, jobs.key) as client:
        path = f"/v1/jobs/{job_id}"
        assert (await client.get(path)).json()["queue_position"] == 0
        await server.kill()
        assert_unavailable(await client.get(path))
        await server.start()

        async def back() -> bool:
            return (await client.get(path)).status_code == 200

        await eventually(back, what="the job is readable again")
        assert (await client.get("/readyz")).status_code == 200
