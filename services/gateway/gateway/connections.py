"""The process's database connections, in a pool per purpose, so that no purpose waits for another."""

import asyncio
from typing import Self

from chassis.postgres import Database
from gateway.batch import COMMITS_IN_FLIGHT
from gateway.settings import GatewayDatabaseSettings

RELAY_CONNECTIONS = 1
KEY_CONNECTIONS = 2
"""One for API keys, and one that is reserved for the readiness check."""


class Connections:
    """Pools that are open while the context lasts.

    The group commit never waits for a connection: it has one for each commit in flight. API keys have a pool of their
    own because every request needs its key first, and must not wait behind cancels that wait for a locked job.
    """

    def __init__(self, settings: GatewayDatabaseSettings) -> None:
        reserved = COMMITS_IN_FLIGHT + RELAY_CONNECTIONS + KEY_CONNECTIONS

        def share(name: str, connections: int, *, checked: bool = False) -> Database:
            return Database(settings, name, connections=connections, keep_one_for_check=checked)

        self.commits = share("gateway-commits", COMMITS_IN_FLIGHT)
        self.relay = share("gateway-relay", RELAY_CONNECTIONS)
        self.keys = share("gateway-keys", KEY_CONNECTIONS, checked=True)
        self.rest = share("gateway", settings.database_connections - reserved)
        """For cancels, look-ups of jobs and idempotency keys, and admission's samples."""
        self._all = (self.commits, self.relay, self.keys, self.rest)

    async def __aenter__(self) -> Self:
        for database in self._all:
            await database.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close all pools at once, so that one that hangs does not delay the others."""
        await asyncio.gather(*(database.__aexit__(*exc_info) for database in self._all))
