"""The worker's standing connection to Postgres: while it lasts the worker's name is locked and cancels are heard."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from chassis.errors import DatabaseUnavailableError
from chassis.postgres import StandingConnection, connect_alone
from chassis.settings import DatabaseSettings
from gpu_consumer.gate import NAME, Gate
from gpu_consumer.startup import NameTakenError
from gpu_consumer.waiting import first_of, until_answered
from gpu_consumer.worker import store

PATIENCE_SECONDS = 3.0
"""How long a name may stay locked at the start before the worker assumes that a living twin holds it. Postgres notices
the death of the last holder with a delay."""
RENEWAL_PATIENCE_SECONDS = 40.0
"""The same after a lost connection. A network cut leaves the session half open at the server, and the name locked,
until the role's keepalives end it after 25 s (docs/operating.md, "The database")."""
PAUSE_SECONDS = 0.2

log = structlog.get_logger()


class Presence:
    """Locks the worker's name, again after each loss of the connection, and listens for requested cancels."""

    def __init__(
        self,
        settings: DatabaseSettings,
        worker: str,
        gate: Gate,
        on_cancel: Callable[[UUID], None],
        check_seconds: float,
    ) -> None:
        """`on_cancel` is called with the id of each job whose cancel was requested."""
        self._settings = settings
        self._worker = worker
        self._gate = gate
        self._on_cancel = on_cancel
        self._check_seconds = check_seconds
        self._connection: StandingConnection | None = None

    async def acquire(self) -> None:
        """Wait for Postgres and lock the name. Raises NameTakenError when a living worker holds it."""
        await self._take_name(PATIENCE_SECONDS)

    async def run(self) -> None:
        """Watch the connection and renew it, name and all. Raises NameTakenError when a twin was faster."""
        while True:
            await self._until_lost()
            self._gate.forbid(NAME)
            log.warning("the worker's connection to the database was lost")
            await self._take_name(RENEWAL_PATIENCE_SECONDS)
            log.info("the worker's name is locked again")

    async def close(self) -> None:
        """Unlock the name."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _take_name(self, patience: float) -> None:
        await until_answered(lambda: self._connect(patience))
        self._gate.allow(NAME)

    async def _connect(self, patience: float) -> None:
        await self.close()
        self._connection = connection = await connect_alone(self._settings, "gpu-consumer-presence")
        await self._lock(connection, patience)
        await connection.listen(await store.cancel_channel(connection, self._worker), self._hear)

    async def _lock(self, connection: StandingConnection, patience: float) -> None:
        deadline = asyncio.get_running_loop().time() + patience
        while not await store.take_name(connection, self._worker):
            if asyncio.get_running_loop().time() > deadline:
                raise NameTakenError(
                    f"A living worker is called {self._worker!r} already; give this one another DARKROOM_WORKER_NAME."
                )
            await asyncio.sleep(PAUSE_SECONDS)

    async def _until_lost(self) -> None:
        """Wait until the connection ends. A silent loss of the network is found by asking."""
        assert self._connection is not None
        while not self._connection.lost.is_set():
            await first_of(self._connection.lost.wait(), asyncio.sleep(self._check_seconds))
            try:
                await store.check_connection(self._connection)
            except DatabaseUnavailableError:
                return

    def _hear(self, payload: str) -> None:
        try:
            self._on_cancel(UUID(payload))
        except ValueError:
            log.warning("a notification of a cancel names no job", payload=payload)
