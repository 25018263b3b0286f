"""The parts that all tests of a run share: one RabbitMQ, one PostgreSQL and one S3, started at their first use.

Databases and vhosts are made ahead of their use and removed in the background, so that no test waits for either.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from tests.support.endpoints import Broker, Controlled, Database, ObjectStore
from tests.support.pool import Pool
from tests.support.servers import LocalServer, SharedServer, discard_all
from tests.support.services import Services, discover

POOL_SIZE = 3
Part = TypeVar("Part", bound=Controlled)


class SharedParts:
    """The parts of a run. Every public coroutine but `close` is a request that the run's processes may send."""

    def __init__(self) -> None:
        self._found: Services | None = None
        self._once: dict[str, asyncio.Task[Any]] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._databases = Pool(self._new_database, POOL_SIZE)
        self._vhosts = Pool(self._new_vhost, POOL_SIZE)

    async def broker(self) -> Broker:
        """Return the RabbitMQ node, running."""
        return _as_shared(await self._running_broker())

    async def database(self) -> Database:
        """Return the PostgreSQL server, running, with a migrated template."""
        return _as_shared(await self._running_database())

    async def object_store(self) -> ObjectStore:
        """Return the S3 endpoint, running."""
        store = self._services().object_store
        await self._do_once("object_store", lambda: _start(store))
        return _as_shared(store)

    async def take_database(self) -> str:
        """Return the URL of a new, migrated database."""
        return await self._databases.take()

    async def drop_database(self, url: str) -> None:
        """Drop a database later, and close its connections."""
        self._remove(self._services().database.drop_database(url))

    async def take_vhost(self) -> str:
        """Return the AMQP URL of a new vhost."""
        return await self._vhosts.take()

    async def delete_vhost(self, url: str) -> None:
        """Delete a vhost later. Nobody declares queues there any more."""
        self._remove(self._services().broker.delete_vhost(url))

    async def close(self) -> None:
        """Stop what was started; leave a server that came from the environment as it was found.

        Raises ExceptionGroup of what could not be removed.
        """
        for url in await self._databases.close():
            await self.drop_database(url)
        for url in await self._vhosts.close():
            await self.delete_vhost(url)
        await asyncio.gather(*self._removals, return_exceptions=True)
        await self._discard()
        if self._failures:
            raise BaseExceptionGroup("databases or vhosts of tests could not be removed", self._failures)

    async def _discard(self) -> None:
        if self._found is None:
            return
        if self._found.database.own_server is None:
            await self._found.database.drop_template()
        parts = (self._found.broker, self._found.database, self._found.object_store)
        await discard_all(server for part in parts if (server := part.own_server))

    def _services(self) -> Services:
        """Return the parts, looked for once; none is running yet."""
        if self._found is None:
            self._found = discover()
        return self._found

    async def _running_broker(self) -> Broker:
        broker = self._services().broker
        await self._do_once("broker", lambda: _start(broker))
        return broker

    async def _running_database(self) -> Database:
        database = self._services().database
        await self._do_once("database", lambda: _start_with_template(database))
        return database

    async def _do_once(self, name: str, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Act at the first call; later and concurrent calls wait for the same act, and raise what it raised."""
        if name not in self._once:
            self._once[name] = asyncio.create_task(act())
        await asyncio.shield(self._once[name])

    async def _new_database(self) -> str:
        return await (await self._running_database()).create_database()

    async def _new_vhost(self) -> str:
        return await (await self._running_broker()).create_vhost()

    def _remove(self, removal: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(removal)
        self._removals.add(task)
        task.add_done_callback(self._removed)

    def _removed(self, task: asyncio.Task[None]) -> None:
        self._removals.discard(task)
        if error := task.exception():
            self._failures.append(error)


async def _start(part: Controlled) -> None:
    if part.own_server:
        await part.own_server.start()


async def _start_with_template(database: Database) -> None:
    await _start(database)
    await database.make_template()


def _as_shared(part: Part) -> Part:
    """Return the part as another process may see it: it may look at the server, but not stop it."""
    local = part.server if isinstance(part.server, LocalServer) else None
    return replace(part, server=local and SharedServer(local.part, tuple(local.pids)))
