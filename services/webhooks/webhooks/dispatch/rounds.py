"""Rounds: look for destinations, claim what is due and has room, and start it."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

from chassis.postgres import Connection, Database
from webhooks.dispatch import letters, store
from webhooks.dispatch.allotment import Limits, Trust, allot
from webhooks.dispatch.claiming import Claimed, Terms, claim
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.records import Destination, Share, place_of
from webhooks.dispatch.survey import Look

UNKNOWN_PER_ROUND = 16
FAILED_PER_ROUND = 2
"""Destinations that may get a delivery in a round. A thousand receivers that hang would otherwise begin together, and
end together by their time limit."""
CANCEL_BATCH = 500
NOTHING = Claimed([], 0, Counter())

Looking: TypeAlias = Callable[[Connection], Awaitable[Look]]


class Round(NamedTuple):
    """What a round found and claimed."""

    look: Look
    claimed: int
    """Deliveries that were claimed, or refused because they can't be encoded."""
    waiting: Sequence[Destination]
    """Destinations that had no room, or filled their share."""


class Rounds:
    """The rounds of a process. Several may run at once: none gives away the room that another one reserved."""

    def __init__(self, database: Database, flights: Flights, limits: Limits, terms: Terms) -> None:
        self._database = database
        self._flights = flights
        self._limits = limits
        self._terms = terms

    async def run(self, look_for: Looking) -> Round:
        """Look for destinations and claim what has room, in one transaction. It flies once that is committed."""
        with ExitStack() as reservation:
            async with self._database.index_walk() as connection:
                look = await look_for(connection)
                shares = self._allot(look.candidates)
                reservation.enter_context(self._flights.reserved(shares))
                claimed = await claim(connection, shares, self._terms) if shares else NOTHING
            for delivery in claimed.deliveries:
                self._flights.start(delivery)
        return Round(look, len(claimed.deliveries) + claimed.refused, _waiting(look.candidates, shares, claimed))

    async def cancel(self, destinations: Sequence[Destination]) -> int:
        """Cancel what waits for endpoints that were deleted or disabled. Return how many deliveries that were."""
        canceled = 0
        for destination in destinations:
            if destination.abandoned:
                async with self._database.index_walk() as connection:
                    ended = await store.cancel_destination(connection, destination, CANCEL_BATCH)
                    await letters.resolve(connection, ended)
                canceled += len(ended)
        return canceled

    def _allot(self, candidates: Sequence[Destination]) -> list[Share]:
        shuffled = random.sample(candidates, len(candidates))  # none is always the last to find room
        eligible = [*self._flights.proven(shuffled), *self._unproven(shuffled)]
        limits = self._flights.narrowed(self._limits)
        return allot(eligible, self._flights.in_flight, limits, self._flights.standing_of)

    def _unproven(self, candidates: Sequence[Destination]) -> list[Destination]:
        """Return a few of those that are not known to work, and fewer of those that failed before."""
        unknown = [each for each in candidates if self._flights.trust_in(each) is Trust.UNKNOWN]
        failed = [each for each in candidates if self._flights.trust_in(each) is Trust.FAILED]
        return unknown[:UNKNOWN_PER_ROUND] + failed[:FAILED_PER_ROUND]


def _waiting(candidates: Sequence[Destination], shares: Sequence[Share], claimed: Claimed) -> list[Destination]:
    filled = {place_of(each.destination): claimed.counts[place_of(each.destination)] == each.at_most for each in shares}
    return [each for each in candidates if filled.get(place_of(each), True)]
