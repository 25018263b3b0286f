"""Reaping: deliveries whose process ended in the middle of an attempt become due again."""

from collections.abc import Callable
from typing import ClassVar

import structlog

from chassis.loops import Loop
from chassis.postgres import Database
from darkroom_contracts.states import DeliveryOutcome
from webhooks import metrics
from webhooks.dispatch import store
from webhooks.dispatch.schedule import PAUSES

log = structlog.get_logger()

BATCH = 200


class Reaper(Loop):
    """Marks attempts whose lease expired as lost. Several processes may reap at once."""

    name: ClassVar[str] = "webhook-reaper"
    interval = 2.0

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        super().__init__()
        self._database = database
        self._dispatch = wake

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            lost = await store.reap(connection, BATCH, len(PAUSES))
        if lost:
            metrics.ATTEMPTS.labels(DeliveryOutcome.LOST, "none").inc(lost)
            log.warning("webhook attempts were lost and are repeated", count=lost)
            self._dispatch()
        return lost == BATCH
