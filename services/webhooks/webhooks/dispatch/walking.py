"""The walk over all destinations, while they are more than fit into a page."""

import asyncio
from time import monotonic
from typing import ClassVar

from chassis.loops import Loop
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.rounds import Rounds
from webhooks.dispatch.survey import Survey
from webhooks.dispatch.survey_gauges import SurveyGauges

SHARE = 0.01
"""The part of its time that the walker works: pages take CPU time that the deliveries beside them wait for. The first
walk does not pause so long: a process that starts has seen no backlog yet."""
SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 1.0
"""Between two pages."""
REST_SECONDS = 0.5
"""Between two looks at whether there is anything to walk over."""


class Walker(Loop):
    """Looks at a page at a time, beside the dispatcher, whose rounds wait for none of these.

    What is due again, or behind receivers that fail, is found here. Backlogs of receivers that work are left to the
    dispatcher.
    """

    name: ClassVar[str] = "webhook-walker"
    interval = REST_SECONDS

    def __init__(self, flights: Flights, rounds: Rounds, survey: Survey, gauges: SurveyGauges) -> None:
        super().__init__()
        self._flights = flights
        self._rounds = rounds
        self._survey = survey
        self._gauges = gauges
        self._has_walked = False

    async def run(self, stop: asyncio.Event) -> None:
        """Walk until `stop` is set, then wait for the deliveries in flight."""
        await super().run(stop)
        await self._flights.drain()

    async def run_once(self) -> bool:
        """Look at the next page, unless the dispatcher looks at all."""
        if self._survey.fits_a_page:
            self.interval = REST_SECONDS
            return False
        began = monotonic()
        await self._look_at_page()
        pause = (monotonic() - began) / SHARE if self._has_walked else 0.0
        self.interval = min(max(SHORTEST_SECONDS, pause), LONGEST_SECONDS)
        return False

    async def _look_at_page(self) -> None:
        done = await self._rounds.run(self._survey.look_at_page)
        await self._rounds.cancel(done.look.page)
        self._gauges.note(done.look)
        self._survey.remember(done.look, self._flights.proven(done.waiting))
        self._has_walked |= done.look.ends_walk
