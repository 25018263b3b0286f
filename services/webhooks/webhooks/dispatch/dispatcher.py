"""The dispatcher: finds the destinations that are due, claims deliveries fairly, and starts their flights."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks.dispatch import letters, store
from webhooks.dispatch.allotment import Limits, allot
from webhooks.dispatch.claiming import Claimed, Terms, claim
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.records import Destination, Share, place_of
from webhooks.dispatch.retiring import retire_old_deliveries
from webhooks.dispatch.survey import Look, Survey
from webhooks.dispatch.survey_gauges import SurveyGauges

POLL_SECONDS = 1.0
"""Between two rounds while nothing happens, when no notification arrives."""
QUICK_POLL_SECONDS = 0.05
"""The same while deliveries are recorded: of concurrent transactions only one notifies."""
QUICK_FOR_SECONDS = 2.0
UNKNOWN_PER_ROUND = 16
FAILED_PER_ROUND = 2
"""Destinations that may get a delivery in a round. A thousand receivers that hang would otherwise begin together, and
end together by their time limit."""
CANCEL_BATCH = 500
NOTHING = Claimed([], 0, Counter())


class Dispatcher(Loop):
    """Woken by notifications, and by deliveries that end while others wait for room; polls as a floor.

    Several processes may dispatch.
    """

    name: ClassVar[str] = "webhook-dispatcher"
    interval = POLL_SECONDS

    def __init__(self, database: Database, flights: Flights, limits: Limits, terms: Terms) -> None:
        super().__init__()
        self._database = database
        self._flights = flights
        self._limits = limits
        self._terms = terms
        self._survey = Survey(terms.keys.ids)
        self._gauges = SurveyGauges(flights)
        self._has_started = False
        self._quick_until = 0.0
        self._more_may_wait = False
        flights.landed = self._landed

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
        look, claimed = await self._look_and_claim()
        canceled = await self._cancel(look.page)
        self._gauges.note(look)
        if claimed:
            self._quick_until = time.monotonic() + QUICK_FOR_SECONDS
        is_quick = self._survey.is_walking or time.monotonic() < self._quick_until
        self.interval = QUICK_POLL_SECONDS if is_quick else POLL_SECONDS
        return (claimed > 0 and self._more_may_wait) or canceled > 0 or self._survey.may_go_on

    async def _look_and_claim(self) -> tuple[Look, int]:
        """Look for destinations, and claim what has room; return how many. They fly once that is committed."""
        async with self._database.index_walk() as connection:
            look = await self._survey.look(connection)
            shares = self._allot(look.candidates)
            claimed = await claim(connection, shares, self._terms) if shares else NOTHING
        self._remember(look.candidates, shares, claimed)
        for delivery in claimed.deliveries:
            self._flights.start(delivery)
        return look, len(claimed.deliveries) + claimed.refused

    def _allot(self, candidates: Sequence[Destination]) -> list[Share]:
        shuffled = random.sample(candidates, len(candidates))  # none is always the last to find room
        eligible = [*self._proven(shuffled), *self._unproven(shuffled)]
        limits = self._flights.narrowed(self._limits)
        return allot(eligible, self._flights.in_flight, limits, self._flights.standing_of)

    def _proven(self, candidates: Sequence[Destination]) -> list[Destination]:
        return [each for each in candidates if self._flights.is_proven(each)]

    def _unproven(self, candidates: Sequence[Destination]) -> list[Destination]:
        """Return a few of those that are not known to work, and fewer of those that failed before."""
        unproven = [each for each in candidates if not self._flights.is_proven(each)]
        failed = [each for each in unproven if self._flights.has_failed(each)]
        unknown = [each for each in unproven if not self._flights.has_failed(each)]
        return unknown[:UNKNOWN_PER_ROUND] + failed[:FAILED_PER_ROUND]

    def _remember(self, candidates: Sequence[Destination], shares: Sequence[Share], claimed: Claimed) -> None:
        """Keep the backlogs of receivers that work: destinations that had no room, or filled their share."""
        filled = {
            place_of(each.destination): claimed.counts[place_of(each.destination)] == each.at_most for each in shares
        }
        waiting = [each for each in candidates if filled.get(place_of(each), True)]
        self._more_may_wait = bool(waiting)
        self._survey.remember(filter(self._flights.is_proven, waiting))

    def _landed(self) -> None:
        """Start a round for what had no room."""
        if self._more_may_wait:
            self.wake()

    async def _cancel(self, destinations: Sequence[Destination]) -> int:
        canceled = 0
        for destination in destinations:
            if destination.abandoned:
                async with self._database.index_walk() as connection:
                    ended = await store.cancel_destination(connection, destination, CANCEL_BATCH)
                    await letters.resolve(connection, ended)
                canceled += len(ended)
        return canceled
