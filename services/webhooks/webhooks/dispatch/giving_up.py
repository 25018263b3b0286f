"""Giving up: a backlog behind a receiver that does not work ends, even though few of it are ever tried."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Protocol

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks.dispatch import letters, store
from webhooks.dispatch.failing import DISABLE_AFTER_HOURS
from webhooks.dispatch.records import FIRST, Destination, place_of

log = structlog.get_logger()

AGE = timedelta(hours=DISABLE_AFTER_HOURS)
DESTINATIONS_PER_ROUND = 1000
BATCH = 500
CONFIRMED_SECONDS = 3600.0
"""For so long nothing must have worked: after a stop of all dispatchers the whole backlog is old."""
MESSAGE = f"The receiver did not work while the delivery waited, which was for more than {DISABLE_AFTER_HOURS} hours."


class KnowsReceivers(Protocol):
    """Knows which receivers are skipped, because they don't work, and for how many seconds they have not."""

    def skipped_seconds(self, destination: Destination) -> float | None: ...


class GivingUp(Loop):
    """Ends due deliveries of destinations that are skipped, once a standing endpoint would be disabled.

    A delivery is tried only when its receiver is not skipped, so behind one that does not work most of them wait. Those
    of a standing endpoint are canceled when it is disabled; an implicit endpoint never is.
    """

    name: ClassVar[str] = "webhook-giving-up"
    interval = 60.0

    def __init__(self, database: Database, receivers: KnowsReceivers, master_keys: Sequence[str]) -> None:
        super().__init__()
        self._database = database
        self._receivers = receivers
        self._master_keys = master_keys
        self._after = FIRST

    async def run_once(self) -> bool:
        """Look at the next destinations. Return True if there are more."""
        async with self._database.index_walk() as connection:
            found = await store.find_destinations(connection, self._after, DESTINATIONS_PER_ROUND, self._master_keys)
        for destination in found:
            if destination.ready and (self._receivers.skipped_seconds(destination) or 0) >= CONFIRMED_SECONDS:
                await self._give_up(destination)
        self._after = place_of(found[-1]) if len(found) == DESTINATIONS_PER_ROUND else FIRST
        return self._after != FIRST

    async def _give_up(self, destination: Destination) -> None:
        async with self._database.index_walk() as connection:
            ended = await store.give_up(connection, destination, AGE, BATCH)
            await letters.bury(connection, ended, MESSAGE)
        if ended:
            log.warning("webhook deliveries given up", count=len(ended), origin=destination.origin)
