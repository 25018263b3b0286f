"""Background loops: `run_once` is a unit of work, and `run` repeats it until it is stopped."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import ClassVar

import structlog
from prometheus_client import Counter

from chassis.backoff import Backoff
from chassis.errors import TransientDatabaseError, UnavailableError

log = structlog.get_logger()

FAILURES = Counter("darkroom_loop_failures_total", "Rounds of a background loop that raised.", ["loop"])
BACKOFF = Backoff(first=0.2, longest=5.0)


class Loop(ABC):
    """Repeated work. A round that raises is logged, counted, and repeated with exponential backoff.

    Outages are logged as warnings, and all other errors, which are bugs, as errors with their traceback.
    """

    name: ClassVar[str]
    interval: float
    """Seconds to pause after a round that found nothing to do."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()

    @abstractmethod
    async def run_once(self) -> bool:
        """Do a bounded amount of work. Return True to start the next round at once, because more work may wait."""

    def wake(self) -> None:
        """Start the next round now, not at the end of the interval."""
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat until `stop` is set. The current round is finished first."""
        stopping = asyncio.create_task(stop.wait())
        failures = 0
        while not stop.is_set():
            self._wake.clear()
            try:
                pause = 0.0 if await self.run_once() else self.interval
                failures = 0
            except Exception as error:
                failures += 1
                FAILURES.labels(self.name).inc()
                pause = BACKOFF.pause(failures)
                _log_failure(self.name, error, pause)
                await self._pause(stopping, pause, wakeable=False)
                continue
            if pause:
                await self._pause(stopping, pause, wakeable=True)
            else:
                await asyncio.sleep(0)  # so that a busy loop does not starve other tasks
        stopping.cancel()

    async def _pause(self, stopping: asyncio.Task[bool], seconds: float, *, wakeable: bool) -> None:
        waits: set[asyncio.Task[bool]] = {stopping}
        woken = asyncio.create_task(self._wake.wait()) if wakeable else None
        if woken:
            waits.add(woken)
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if woken:
            woken.cancel()
            with suppress(asyncio.CancelledError):
                await woken


def _log_failure(loop: str, error: Exception, pause: float) -> None:
    """Log an outage in one line, and any other error, which is a bug, with its traceback."""
    bound = log.bind(loop=loop, error=repr(error), retry_seconds=round(pause, 2))
    if isinstance(error, (UnavailableError, TransientDatabaseError)):
        bound.warning("loop round failed")
        bound.debug("loop round failed", exc_info=error)
    else:
        bound.error("loop round failed", exc_info=error)
