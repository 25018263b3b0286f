"""Reaping: deliveries whose process ended in the middle of an attempt become due again."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from darkroom_contracts.states import DeliveryOutcome
from webhooks import metrics
from webhooks.dispatch import letters, store

log = structlog.get_logger()

BATCH = 200
MOST_LOSSES = 200
"""Attempts that may be lost in a row: the pauses between them make two days, and many crashes exhaust no delivery."""
AWAY_SECONDS = 10.0
"""After this time without a round Postgres, or this process, counts as having been away."""


class Reaper(Loop):
    """Marks attempts whose lease expired as lost. Several processes may reap at once.

    While Postgres is away nobody can complete an attempt. So after its start, and after every time that Postgres was
    away, the reaper waits for one lease before it takes attempts from processes that may still hold them.
    """

    name: ClassVar[str] = "webhook-reaper"
    interval = 2.0

    def __init__(
        self,
        database: Database,
        wake: Callable[[], None],
        lease: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._database = database
        self._dispatch = wake
        self._lease = lease
        self._clock = clock
        self._in_contact_since = float("-inf")
        self._last_contact = float("-inf")

    async def run_once(self) -> bool:
        await self._database.check()
        return self._waited_a_lease() and await self._reap()

    def _waited_a_lease(self) -> bool:
        """Note that Postgres answers, and return whether it has for as long as a lease."""
        now = self._clock()
        if now - self._last_contact > AWAY_SECONDS:
            self._in_contact_since = now
        self._last_contact = now
        return now - self._in_contact_since >= self._lease.total_seconds()

    async def _reap(self) -> bool:
        async with self._database.index_walk() as connection:
            lost, exhausted = await store.reap(connection, BATCH, MOST_LOSSES)
            await letters.bury(connection, exhausted, f"{MOST_LOSSES + 1} attempts in a row were lost.")
        if lost:
            metrics.ATTEMPTS.labels(DeliveryOutcome.LOST, "none").inc(lost)
            log.warning("webhook attempts were lost", count=lost, exhausted=len(exhausted))
            self._dispatch()
        return lost == BATCH
