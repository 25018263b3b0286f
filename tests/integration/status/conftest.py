"""A status service in the test's process, with a real database, broker and bucket."""

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest

from chassis.service import App
from chassis.settings import load
from darkroom_contracts.models import Catalogue
from darkroom_local.ports import LOOPBACK
from status.app import open_app
from status.settings import Settings
from tests.integration.status.jobs import TenantJobs
from tests.support.declared import declared_client
from tests.support.ports import free_port


@pytest.fixture
def environment(database: str) -> dict[str, str]:
    """Return settings with a real database, and without a broker or a bucket."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    return {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": f"amqp://guest:guest@{nowhere}/",
        "DARKROOM_S3_ENDPOINT": f"http://{nowhere}",
        "DARKROOM_PUBLIC_URL": "https://darkroom.example",
        "DARKROOM_S3_ACCESS_KEY": "access-key",
        "DARKROOM_S3_SECRET_KEY": "secret-key",
    }


@pytest.fixture
async def status(environment: dict[str, str], catalogue: Catalogue) -> AsyncIterator[App]:
    async with open_app(load(Settings, environment)) as status:
        yield status


@pytest.fixture
async def jobs(rows: asyncpg.Connection) -> TenantJobs:
    """Return the jobs of the tenant whose key `client` sends."""
    return await TenantJobs.of("default", rows)


@pytest.fixture
async def strangers(rows: asyncpg.Connection) -> TenantJobs:
    """Return the jobs of another tenant."""
    return await TenantJobs.of("strangers", rows)


@pytest.fixture
async def client(status: App, jobs: TenantJobs) -> AsyncIterator[httpx2.AsyncClient]:
    async with declared_client(status.http, jobs.key) as http:
        yield http
