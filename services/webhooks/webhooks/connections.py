"""The process's database connections, in a pool per purpose, so that no request delays a delivery."""

import asyncio
from typing import Self

from chassis.postgres import Database
from webhooks.settings import WebhooksDatabaseSettings

HTTP_CONNECTIONS = 3
"""One of them is reserved for the readiness check."""


class Connections:
    """Pools that are open while the context lasts."""

    def __init__(self, settings: WebhooksDatabaseSettings) -> None:
        for_dispatch = settings.database_connections - HTTP_CONNECTIONS
        self.dispatch = Database(settings, "webhooks", connections=for_dispatch, keep_one_for_check=False)
        self.http = Database(settings, "webhooks-http", connections=HTTP_CONNECTIONS)

    async def __aenter__(self) -> Self:
        await self.dispatch.__aenter__()
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close both pools at once, so that one that hangs does not delay the other."""
        await asyncio.gather(self.dispatch.__aexit__(*exc_info), self.http.__aexit__(*exc_info))
