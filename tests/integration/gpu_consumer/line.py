"""A consumer in this process, without a worker's standing parts: the test opens and closes its gate."""

import asyncio
from types import TracebackType
from typing import Self

from gpu_consumer.app import Connections, Parts, build
from gpu_consumer.gate import DATABASE, NAME, RENDERER, RESUMED
from gpu_consumer.renderer.process import RenderProcess
from tests.integration.gpu_consumer.workshop import Workshop


class Line:
    """The real consumer on the real parts. `start` opens the gate; leaving it drains."""

    def __init__(self, workshop: Workshop, process: RenderProcess, **settings: str) -> None:
        self.workshop = workshop
        self.process = process
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self.renewing: asyncio.Task[None] | None = None
        """Replaces lost render processes, in tests that let that happen."""
        configured = workshop.settings(**settings)
        self.connections = Connections.of(configured)
        self.app: Parts = build(configured, workshop.model(), process, self.connections)
        self._opened = self.connections.opened()

    async def __aenter__(self) -> Self:
        await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(drain_seconds=0.1)
        await self._opened.__aexit__(None, None, None)

    def start(self) -> None:
        """Open the gate and take messages."""
        for condition in (NAME, RENDERER, RESUMED, DATABASE):
            self.app.gate.allow(condition)
        self._running = asyncio.create_task(self.app.consumer.run(self._stop))

    async def stop(self, drain_seconds: float = 30) -> None:
        """Drain, as a worker does on SIGTERM."""
        self.app.gate.drain()
        self._stop.set()
        if self._running is not None:
            await self._running
            self._running = None
            await self.app.consumer.drain(drain_seconds)

    async def drop_consuming_connection(self) -> None:
        """Cut the connection that messages come through."""
        channel = await self.connections.consuming.channel()
        underlay = await channel.get_underlay_channel()
        await underlay.connection.close(ConnectionResetError("cut by the test"))
