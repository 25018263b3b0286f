"""The process's database connections, in a pool per purpose, so that no operator waits behind a sweep."""

import asyncio
from typing import Self

from chassis.postgres import Database
from operations.settings import OperationsDatabaseSettings

DESK_CONNECTIONS = 4
"""Those for requests, key look-ups included, of which one is reserved for the readiness check."""


class Connections:
    """Pools that are open while the context lasts."""

    def __init__(self, settings: OperationsDatabaseSettings) -> None:
        for_loops = settings.database_connections - DESK_CONNECTIONS
        self.loops = Database(settings, "operations", connections=for_loops, keep_one_for_check=False)
        self.desk = Database(settings, "operations-desk", connections=DESK_CONNECTIONS)

    async def __aenter__(self) -> Self:
        await self.loops.__aenter__()
        await self.desk.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close both pools at once, so that one that hangs does not delay the other."""
        await asyncio.gather(self.loops.__aexit__(*exc_info), self.desk.__aexit__(*exc_info))
