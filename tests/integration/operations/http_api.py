"""The service's HTTP API in the test's own process, with a real database and without a broker or a bucket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from starlette.types import ASGIApp

from chassis.service import http_server
from chassis.settings import Address, load
from darkroom_local.ports import LOOPBACK
from operations.app import open_app
from operations.settings import Settings
from tests.support.declared import Api
from tests.support.ports import free_port
from tests.support.waiting import eventually


@asynccontextmanager
async def open_api(database: str, rows: asyncpg.Connection, **settings: str) -> AsyncIterator[Api]:
    """Open the service without running its loops."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    environment = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_AMQP_URL": f"amqp://guest:guest@{nowhere}/",
        "DARKROOM_S3_ENDPOINT": f"http://{nowhere}",
        "DARKROOM_S3_ACCESS_KEY": "access-key",
        "DARKROOM_S3_SECRET_KEY": "secret-key",
        **settings,
    }
    async with open_app(load(Settings, environment)) as app:
        yield Api(app, rows)


@asynccontextmanager
async def served(http: ASGIApp) -> AsyncIterator[str]:
    """Serve an application as services do, on a port of its own, and yield its URL."""
    address = Address(LOOPBACK, free_port())
    server = http_server(http, address)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, what="the application is served")
    try:
        yield f"http://{address.host}:{address.port}"
    finally:
        server.should_exit = True
        await serving
