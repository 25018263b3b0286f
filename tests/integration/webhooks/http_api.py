"""The service's HTTP API in the test's own process, with a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from chassis.settings import load
from tests.support.declared import Api
from webhooks.app import open_app
from webhooks.settings import Settings

OLD_KEY, NEW_KEY = f"old:{'0d' * 32}", f"new:{'e1' * 32}"


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
