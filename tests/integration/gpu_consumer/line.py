"""A consumer in this process, without a worker's standing parts: the test opens and closes its gate."""

import asyncio
from types import TracebackType
from typing import Self

from gpu_consumer.app import App, build
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
        """Replaces lost render processes, where a test lets that happen."""
        self.app: App = build(workshop.settings(**settings), workshop.model(), process)

    async def __aenter__(self) -> Self:
        await self.app.database.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(drain_seconds=0.1)
        for broker in self.app.brokers:
            await broker.close()
        await self.app.database.__aexit__(None, None, None)

    def start(self) -> None:
        for condition in (NAME, RENDERER, RESUMED, DATABASE):
            self.app.bench.gate.allow(condition)
        self._running = asyncio.create_task(self.app.consumer.run(self._stop))

    async def stop(self, drain_seconds: float = 30) -> None:
        """As a worker does on SIGTERM."""
        self.app.bench.gate.drain()
        self._stop.set()
        if self._running is not None:
            await self._running
            self._running = None
            await self.app.consumer.drain(drain_seconds)

    async def drop_consuming_connection(self) -> None:
        """Cut the connection that messages come through."""
        channel = await self.app.brokers[0].channel()
        underlay = await channel.get_underlay_channel()
        await underlay.connection.close(ConnectionResetError("cut by the test"))
