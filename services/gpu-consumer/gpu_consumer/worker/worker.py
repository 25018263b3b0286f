"""The worker's life: its name, its predecessor's leases, its render process, then jobs until it is told to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gpu_consumer.gate import Gate
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.job.store import Store
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.waiting import first_of, until_answered
from gpu_consumer.worker.consumer import Consumer
from gpu_consumer.worker.gpu_monitor import GpuMonitor
from gpu_consumer.worker.presence import Presence
from gpu_consumer.worker.session import Session

REFUND_SECONDS = 60.0
"""How long a worker that closes waits for Postgres to refund its losses."""

log = structlog.get_logger()


class Worker:
    """Runs until `stop` is set or something it can't do without is lost for good; then finishes what it has begun."""

    def __init__(
        self,
        gate: Gate,
        presence: Presence,
        session: Session,
        store: Store,
        renderer: Renderer,
        progress: ProgressFeed,
        monitor: GpuMonitor,
        losses: LossStreak,
        consumer: Consumer,
        drain_seconds: float,
    ) -> None:
        self._gate = gate
        self._presence = presence
        self._session = session
        self._store = store
        self._renderer = renderer
        self._progress = progress
        self._monitor = monitor
        self._losses = losses
        self._consumer = consumer
        self._drain_seconds = drain_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Raises StartupError: at the start, and when the name or the render process can't be had again."""
        standing: list[asyncio.Task[None]] = []
        try:
            if not await _unless(stop, self._take_over()):
                return
            tasks = (
                self._presence.run(),
                self._session.run(),
                self._renderer.run(),
                self._progress.run(),
                self._monitor.run(stop),
                self._losses.watch(),
            )
            for work in tasks:
                task = asyncio.create_task(work)
                task.add_done_callback(lambda _: stop.set())
                standing.append(task)
            closing = asyncio.create_task(self._close_gate(stop))
            await self._consumer.run(stop)
            await closing
            await self._consumer.drain(self._drain_seconds)
            if self._losses.is_sick:
                await self._refund_losses()
            for task in standing:
                if task.done():
                    task.result()
        finally:
            await _end(standing)
            await self._renderer.stop()
            await self._session.close()
            await self._presence.close()

    async def _take_over(self) -> None:
        """Lock the name and free the jobs of whoever had it before."""
        await self._presence.acquire()
        reaped = await until_answered(self._store.reap_predecessor)
        if reaped:
            log.warning("jobs of a lost predecessor went back to the queue", jobs=reaped)
        await self._session.open()

    async def _refund_losses(self) -> None:
        """The jobs of the streak get their attempts back. Postgres may be away, but not for ever."""
        tokens = self._losses.tokens
        try:
            async with asyncio.timeout(REFUND_SECONDS):
                refunded = await until_answered(lambda: self._store.refund(tokens))
        except TimeoutError:
            log.warning("the attempts of a failing GPU were not refunded, since the database does not answer")
        else:
            log.warning("attempts of a failing GPU were refunded", attempts=refunded, of=len(tokens))

    async def _close_gate(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._gate.drain()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless `stop` is set before it is done; whether it was done. Raises what the work raises."""
    task = asyncio.create_task(work)
    await first_of(task, stop.wait())
    if not task.done():
        await _end([task])
        return False
    task.result()
    return True


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
