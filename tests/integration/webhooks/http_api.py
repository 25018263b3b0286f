"""The service's HTTP API in the test's own process, with a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2

from chassis.service import App
from chassis.settings import load
from darkroom_contracts.api import Scope
from tests.support.declared import assert_declared
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
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app.http, raise_app_exceptions=False),
            base_url="http://webhooks",
            headers={"Authorization": f"Bearer {key.reveal()}"},
            event_hooks={"response": [assert_declared]},
        ) as http:
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


def refusal(response: httpx2.Response) -> tuple[int, str, str | None]:
    """Return status, code and field of a problem."""
    problem: dict[str, Any] = response.json()
    return response.status_code, problem["code"], problem.get("field")
