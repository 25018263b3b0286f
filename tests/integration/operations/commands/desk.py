"""The `darkroom` command of an operator, and the service that it talks to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import asyncpg

from chassis.keys import ApiKey
from chassis.service import App
from darkroom_contracts.api import Scope
from tests.integration.operations.http_api import served
from tests.support.commands import Finished, darkroom
from tests.support.keys import insert_key


@dataclass(frozen=True)
class Desk:
    """Runs `darkroom` with an operator's key, or with an observer's."""

    url: str
    operator: ApiKey
    observer: ApiKey

    @classmethod
    @asynccontextmanager
    async def serving(cls, app: App, rows: asyncpg.Connection) -> AsyncIterator[Self]:
        """Serve an application, and make a key of each scope that operators have."""
        keys = [await insert_key(rows, "desk", scope=scope) for scope in (Scope.OPERATOR, Scope.OBSERVER)]
        async with served(app.http) as url:
            yield cls(url, *keys)

    async def __call__(self, *arguments: str, key: ApiKey | None = None) -> Finished:
        """Run a command, as an operator unless another key is given."""
        secret = (key or self.operator).reveal()
        return await darkroom(*arguments, DARKROOM_URL=self.url, DARKROOM_OPERATOR_KEY=secret)
