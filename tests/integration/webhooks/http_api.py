"""The service's HTTP API in the test's own process, with a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2

from chassis.service import App
from chassis.settings import load
from darkroom_contracts.api import Scope
from tests.support.declared import declared_client
from tests.support.keys import insert_key
from webhooks.app import open_app
from webhooks.settings import Settings

OLD_KEY, NEW_KEY = f"old:{'0d' * 32}", f"new:{'e1' * 32}"


class Api:
    """The API, for clients with keys of several tenants."""

    def __init__(self, app: App, rows: asyncpg.Connection) -> None:
        self.app = app
        self._rows = rows

    @asynccontextmanager
    async def client(self, tenant: str, scope: Scope = Scope.CLIENT) -> AsyncIterator[httpx2.AsyncClient]:
        """Yield a client of a tenant, which is made if it does not exist. It fails for undeclared responses."""
        key = await insert_key(self._rows, tenant, scope=scope)
        async with declared_client(self.app.http, key.reveal()) as http:
            yield http


@asynccontextmanager
async def open_api(database: str, rows: asyncpg.Connection, *master_keys: str, **settings: str) -> AsyncIterator[Api]:
    """Open the service without running its loops."""
    environment = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": ",".join(master_keys or (OLD_KEY,)),
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        **settings,
    }
    async with open_app(load(Settings, environment)) as app:
        yield Api(app, rows)
