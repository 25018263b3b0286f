"""The worker's life: take the name, free the predecessor's jobs, render until a signal, drain."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from gpu_consumer.gate import Gate
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.waiting import first_of, until_answered
from gpu_consumer.worker.consumer import Consumer
from gpu_consumer.worker.presence import Presence
from gpu_consumer.worker.session import Session
from gpu_consumer.worker.store import SessionStore

REFUND_SECONDS = 60.0
"""How long a worker that closes waits for Postgres to refund its losses."""

log = structlog.get_logger()

Standing = Callable[[], Coroutine[Any, Any, None]]
"""Work that goes on for the worker's whole life. When it ends or raises, the worker stops."""


class Worker:
    """Runs until `stop` is set or standing work ends; then finishes the attempts under way."""

    def __init__(
        self,
        gate: Gate,
        presence: Presence,
        session: Session,
        store: SessionStore,
        renderer: Renderer,
        consumer: Consumer,
        losses: LossStreak,
        standing: Sequence[Standing],
        drain_seconds: float,
    ) -> None:
        self._gate = gate
        self._presence = presence
        self._session = session
        self._store = store
        self._renderer = renderer
        self._consumer = consumer
        self._losses = losses
        self._standing = standing
        self._drain_seconds = drain_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain.

        Raises StartupError at the start, and when the name or the render process is lost for good.
        """
        tasks: list[asyncio.Task[None]] = []
        try:
            if await _unless(stop, self._take_over()):
                tasks += [_stopping(stop, work) for work in self._standing]
                await self._consume(stop)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            await _end(tasks)
            await self._renderer.stop()
            await self._session.close()
            await self._presence.close()

    async def _take_over(self) -> None:
        """Lock the name and free the jobs of the worker that had it before."""
        await self._presence.acquire()
        reaped = await until_answered(self._store.reap_predecessor)
        if reaped:
            log.warning("jobs of a lost predecessor went back to the queue", jobs=reaped)
        await self._session.open()

    async def _consume(self, stop: asyncio.Event) -> None:
        """Take messages until `stop` is set, then drain."""
        closing = asyncio.create_task(self._close_gate(stop))
        await self._consumer.run(stop)
        await closing
        await self._consumer.drain(self._drain_seconds)
        if self._losses.is_sick:
            await self._refund_losses()

    async def _close_gate(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._gate.drain()

    async def _refund_losses(self) -> None:
        """Refund the attempts of the streak. Postgres may be away, for a limited time."""
        tokens = self._losses.tokens
        try:
            async with asyncio.timeout(REFUND_SECONDS):
                refunded = await until_answered(lambda: self._store.refund(tokens))
        except TimeoutError:
            log.warning("the attempts of a failing GPU were not refunded, since the database does not answer")
        else:
            log.warning("attempts of a failing GPU were refunded", attempts=refunded, of=len(tokens))


def _stopping(stop: asyncio.Event, work: Standing) -> asyncio.Task[None]:
    """Start the work. When it ends, `stop` is set."""
    task = asyncio.create_task(work())
    task.add_done_callback(lambda _: stop.set())
    return task


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, or end it when `stop` is set first. Return whether it was done. Raises what the work raises."""
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
