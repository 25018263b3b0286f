"""The dispatcher: starts what was just recorded, and the backlogs of receivers that work."""

import asyncio
import time
from typing import ClassVar

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.retiring import retire_old_deliveries
from webhooks.dispatch.rounds import Round, Rounds
from webhooks.dispatch.survey import Survey
from webhooks.dispatch.survey_gauges import SurveyGauges

POLL_SECONDS = 1.0
"""Between two rounds while nothing happens, when no notification arrives."""
QUICK_POLL_SECONDS = 0.05
"""The same while deliveries are recorded: of concurrent transactions only one notifies."""
QUICK_FOR_SECONDS = 2.0


class Dispatcher(Loop):
    """Woken by notifications, and by deliveries that end while others wait for room; polls as a floor.

    Several processes may dispatch.
    """

    name: ClassVar[str] = "webhook-dispatcher"
    interval = POLL_SECONDS

    def __init__(
        self, database: Database, flights: Flights, rounds: Rounds, survey: Survey, gauges: SurveyGauges
    ) -> None:
        super().__init__()
        self._database = database
        self._flights = flights
        self._rounds = rounds
        self._survey = survey
        self._gauges = gauges
        self._has_started = False
        self._quick_until = 0.0
        self._more_may_wait = False
        flights.landed = self._landed
        flights.proved = survey.expect  # all but one of its deliveries waited until it was known to work

    def notice(self) -> None:
        """Start a round now, and poll quickly for a while."""
        self._quick_until = time.monotonic() + QUICK_FOR_SECONDS
        self.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Dispatch until `stop` is set, then wait for the deliveries in flight."""
        await super().run(stop)
        await self._flights.drain()

    async def run_once(self) -> bool:
        """Claim what is due and has room. Return True if there may be more."""
        if not self._has_started:
            await retire_old_deliveries(self._database)
            self._has_started = True
        done = await self._rounds.run(self._survey.look)
        canceled = await self._rounds.cancel(done.look.page)
        self._note(done)
        return (done.claimed > 0 and self._more_may_wait) or canceled > 0

    def _note(self, done: Round) -> None:
        self._gauges.note(done.look)
        self._survey.remember(done.look, self._flights.proven(done.waiting))
        self._more_may_wait = self._survey.has_backlogs or (self._survey.fits_a_page and bool(done.waiting))
        if done.claimed:
            self._quick_until = time.monotonic() + QUICK_FOR_SECONDS
        self.interval = QUICK_POLL_SECONDS if time.monotonic() < self._quick_until else POLL_SECONDS

    def _landed(self) -> None:
        """Start a round for what had no room, here or on the walk."""
        if self._more_may_wait or self._survey.has_backlogs:
            self.wake()
