"""Waking a dispatcher when a delivery was recorded."""

from collections.abc import Callable
from typing import ClassVar

from chassis.loops import Loop
from chassis.postgres import StandingConnection, connect_alone
from chassis.settings import DatabaseSettings

CHANNEL = "darkroom_webhooks"
"""Notified by record_delivery()."""


class Listener(Loop):
    """Holds a connection that listens, and opens it again when it was lost. Polling bridges the time in between."""

    name: ClassVar[str] = "webhook-listener"
    interval = 5.0

    def __init__(self, settings: DatabaseSettings, wake: Callable[[], None]) -> None:
        super().__init__()
        self._settings = settings
        self._notify = wake
        self._connection: StandingConnection | None = None

    async def run_once(self) -> bool:
        """Check the connection, which finds a silent loss of the network, or open it."""
        if self._connection is None or self._connection.lost.is_set():
            await self._open()
        else:
            await self._check(self._connection)
        return False

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _open(self) -> None:
        self.close()
        self._connection = await connect_alone(self._settings, "webhooks-listener")
        await self._connection.listen(CHANNEL, lambda _: self._notify())
        self._notify()

    async def _check(self, connection: StandingConnection) -> None:
        try:
            await connection.execute("SELECT 1")
        except BaseException:
            self.close()
            raise
