"""The `darkroom` command of an operator, and the service that it talks to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import asyncpg

from chassis.keys import ApiKey
from chassis.service import App, http_server
from chassis.settings import Address
from darkroom_contracts.api import Scope
from darkroom_local.ports import LOOPBACK
from tests.support.commands import Finished, darkroom
from tests.support.keys import insert_key
from tests.support.ports import free_port
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Desk:
    """Runs `darkroom` with an operator's key, or with an observer's."""

    url: str
    operator: ApiKey
    observer: ApiKey

    @classmethod
    @asynccontextmanager
    async def serving(cls, app: App, rows: asyncpg.Connection) -> AsyncIterator[Self]:
        """Serve an application on a port of its own."""
        address = Address(LOOPBACK, free_port())
        server = http_server(app.http, address)
        serving = asyncio.create_task(server.serve())
        await eventually(lambda: server.started, what="operations is served")
        keys = [await insert_key(rows, "desk", scope=scope) for scope in (Scope.OPERATOR, Scope.OBSERVER)]
        try:
            yield cls(f"http://{address.host}:{address.port}", *keys)
        finally:
            server.should_exit = True
            await serving

    async def __call__(self, *arguments: str, key: ApiKey | None = None) -> Finished:
        """Run a command, as an operator unless another key is given."""
        secret = (key or self.operator).reveal()
        return await darkroom(*arguments, DARKROOM_URL=self.url, DARKROOM_OPERATOR_KEY=secret)
