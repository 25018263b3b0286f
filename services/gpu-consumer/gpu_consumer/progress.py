"""Steps for live views: a few a second, transient, and never in the way of a render."""

import asyncio

import structlog

from chassis.amqp import Announcer, BrokerUnavailableError
from contracts.messages.v1 import CONTENT_TYPE, Progress, encode
from contracts.topology import EVENTS_EXCHANGE

PAUSE_SECONDS = 0.25

log = structlog.get_logger()


class ProgressFeed:
    """Publishes the latest step; steps that come faster than it publishes are skipped."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._latest: Progress | None = None
        self._news = asyncio.Event()

    def report(self, progress: Progress) -> None:
        self._latest = progress
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self.run_once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def run_once(self) -> None:
        """Publish the latest step, if any."""
        progress, self._latest = self._latest, None
        if progress is None:
            return
        try:
            await self._announcer.announce(EVENTS_EXCHANGE, f"job.{progress.job_id}", encode(progress), CONTENT_TYPE)
        except BrokerUnavailableError as error:
            log.debug("progress not published", error=str(error))
