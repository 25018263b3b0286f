"""The service's HTTP API in the test's own process, with a real database and without a broker or a bucket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
from starlette.types import ASGIApp

from chassis.service import App, http_server
from chassis.settings import Address, load
from darkroom_contracts.api import Scope
from darkroom_local.ports import LOOPBACK
from operations.app import open_app
from operations.settings import Settings
from tests.support.declared import declared_client
from tests.support.keys import insert_key
from tests.support.ports import free_port
from tests.support.waiting import eventually


class Api:
    """The API, for clients with keys of several tenants and scopes."""

    def __init__(self, app: App, rows: asyncpg.Connection) -> None:
        self.app = app
        self._rows = rows

    @asynccontextmanager
    async def client(self, scope: Scope = Scope.OPERATOR, tenant: str = "desk") -> AsyncIterator[httpx2.AsyncClient]:
        """Yield a client of a tenant, which is made if it does not exist. It fails for undeclared responses."""
        key = await insert_key(self._rows, tenant, scope=scope)
        async with self.client_with(key.reveal()) as http:
            yield http

    def client_with(self, key: str) -> httpx2.AsyncClient:
        """Return a client that sends a key."""
        return declared_client(self.app.http, key)


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
