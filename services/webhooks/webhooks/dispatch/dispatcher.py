"""The dispatcher: finds the destinations that are due, claims deliveries fairly, and starts their flights."""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks import metrics
from webhooks.dispatch import letters, store
from webhooks.dispatch.allotment import Limits, allot
from webhooks.dispatch.claiming import Terms, claim
from webhooks.dispatch.flights import Flights
from webhooks.dispatch.records import FIRST, Destination, place_of
from webhooks.dispatch.retiring import retire_old_deliveries

log = structlog.get_logger()

POLL_SECONDS = 1.0
"""Between two rounds while nothing happens, when no notification arrives."""
QUICK_POLL_SECONDS = 0.05
"""The same while deliveries are recorded: of concurrent transactions only one notifies."""
QUICK_FOR_SECONDS = 2.0
DESTINATIONS_PER_ROUND = 1000
CANCEL_BATCH = 500
UNSIGNABLE_LOG_SECONDS = 60.0


class Dispatcher(Loop):
    """Woken by notifications and by each delivery that ends; polls as a floor. Several processes may dispatch."""

    name: ClassVar[str] = "webhook-dispatcher"
    interval = POLL_SECONDS

    def __init__(self, database: Database, flights: Flights, limits: Limits, terms: Terms) -> None:
        super().__init__()
        self._database = database
        self._flights = flights
        self._limits = limits
        self._terms = terms
        self._after = FIRST
        self._has_started = False
        self._quick_until = 0.0
        self._unsignable_logged = float("-inf")
        flights.landed = self.wake

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
        destinations = await self._find_destinations()
        claimed = await self._claim(destinations)
        canceled = await self._cancel(destinations)
        if claimed:
            self._quick_until = time.monotonic() + QUICK_FOR_SECONDS
        self.interval = QUICK_POLL_SECONDS if time.monotonic() < self._quick_until else POLL_SECONDS
        return claimed > 0 or canceled > 0 or self._after != FIRST

    async def _find_destinations(self) -> list[Destination]:
        """Return the next destinations, and begin again from the first one after the last."""
        async with self._database.index_walk() as connection:
            destinations = await store.find_destinations(
                connection, self._after, DESTINATIONS_PER_ROUND, self._terms.keys.ids
            )
        is_whole = self._after == FIRST and len(destinations) < DESTINATIONS_PER_ROUND
        if is_whole:
            self._report(destinations)
        self._after = place_of(destinations[-1]) if len(destinations) == DESTINATIONS_PER_ROUND else FIRST
        return destinations

    async def _claim(self, destinations: Sequence[Destination]) -> int:
        shuffled = random.sample(destinations, len(destinations))  # none is always the last to find room
        limits = self._flights.narrowed(self._limits)
        shares = allot(shuffled, self._flights.in_flight, limits, self._flights.standing_of)
        if not shares:
            return 0
        async with self._database.index_walk() as connection:
            claimed = await claim(connection, shares, self._terms)
        for delivery in claimed.deliveries:
            self._flights.start(delivery)
        return len(claimed.deliveries) + claimed.refused

    async def _cancel(self, destinations: Sequence[Destination]) -> int:
        canceled = 0
        for destination in destinations:
            if destination.abandoned:
                async with self._database.transaction() as connection:
                    ended = await store.cancel_destination(connection, destination, CANCEL_BATCH)
                    await letters.resolve(connection, ended)
                canceled += len(ended)
        return canceled

    def _report(self, destinations: Sequence[Destination]) -> None:
        """Report how long the oldest delivery is due, and loudly what can't be sent for want of a master key."""
        now = datetime.now(UTC)
        served = (each for each in destinations if each.ready and self._flights.skipped_seconds(each) is None)
        metrics.OLDEST.set(max(((now - each.due_at).total_seconds() for each in served), default=0.0))
        unsignable = {destination.endpoint_id for destination in destinations if destination.unsignable}
        metrics.UNSIGNABLE.set(len(unsignable))
        if unsignable and time.monotonic() - self._unsignable_logged >= UNSIGNABLE_LOG_SECONDS:
            self._unsignable_logged = time.monotonic()
            log.error(
                "webhooks wait for a master key that is not in DARKROOM_WEBHOOKS_MASTER_KEYS; add it again",
                endpoints=len(unsignable),
                endpoint_id=str(min(unsignable)),
            )
