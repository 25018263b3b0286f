"""The walk over all destinations, while they are more than fit into a page."""

import asyncio
from typing import ClassVar

from chassis.loops import Loop
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.rounds import Rounds
from webhooks.dispatch.survey import PAGE_SECONDS, WALK_SECONDS, Survey
from webhooks.dispatch.survey_gauges import SurveyGauges


class Walker(Loop):
    """Looks at a page at a time, beside the dispatcher, whose rounds wait for none of these.

    What is due again, or behind receivers that fail, is found here. Backlogs of receivers that work are left to the
    dispatcher.
    """

    name: ClassVar[str] = "webhook-walker"
    interval = WALK_SECONDS

    def __init__(self, flights: Flights, rounds: Rounds, survey: Survey, gauges: SurveyGauges) -> None:
        super().__init__()
        self._flights = flights
        self._rounds = rounds
        self._survey = survey
        self._gauges = gauges

    async def run(self, stop: asyncio.Event) -> None:
        """Walk until `stop` is set, then wait for the deliveries in flight."""
        await super().run(stop)
        await self._flights.drain()

    async def run_once(self) -> bool:
        """Look at the next page, unless the dispatcher looks at all."""
        if not self._survey.fits_a_page:
            done = await self._rounds.run(self._survey.look_at_page)
            await self._rounds.cancel(done.look.page)
            self._gauges.note(done.look)
            self._survey.remember(done.look, self._flights.proven(done.waiting))
        self.interval = PAGE_SECONDS if self._survey.is_walking else WALK_SECONDS
        return False
