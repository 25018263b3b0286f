"""Steps and previews for live views: transient, a few a second, and independent of the render."""

import asyncio

import structlog

from chassis.errors import BrokerUnavailableError
from chassis.publishing import Announcer
from darkroom_contracts.messages.v1 import CONTENT_TYPE, Preview, Progress, encode
from darkroom_contracts.topology import EVENTS_EXCHANGE

PAUSE_SECONDS = 0.25

log = structlog.get_logger()


class ProgressFeed:
    """Publishes the latest step and the latest preview. It skips those that are replaced before it publishes."""

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self._step: Progress | None = None
        self._preview: Preview | None = None
        self._news = asyncio.Event()

    def report(self, step: Progress) -> None:
        """Publish the step soon."""
        self._step = step
        self._news.set()

    def show(self, preview: Preview) -> None:
        """Publish the preview soon."""
        self._preview = preview
        self._news.set()

    async def run(self) -> None:
        """Publish until canceled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.run_once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def run_once(self) -> None:
        """Publish the latest step and preview, if any."""
        step, self._step = self._step, None
        preview, self._preview = self._preview, None
        for event in (step, preview):
            if event is not None:
                await self._publish(event)

    async def _publish(self, event: Progress | Preview) -> None:
        try:
            await self._announcer.announce(EVENTS_EXCHANGE, f"job.{event.job_id}", encode(event), CONTENT_TYPE)
        except BrokerUnavailableError as error:
            log.debug("live event not published", error=str(error))
