"""The gauges of waiting deliveries."""

from typing import ClassVar

from chassis.loops import Loop
from chassis.postgres import Database
from webhooks import metrics
from webhooks.dispatch import store


class DeliveryMetrics(Loop):
    """Samples how many deliveries wait, at a bounded cost."""

    name: ClassVar[str] = "webhook-metrics"
    interval = 5.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def run_once(self) -> bool:
        async with self._database.index_walk() as connection:
            waiting, due = await store.sample(connection, metrics.COUNT_AT_MOST)
        metrics.WAITING.set(waiting)
        metrics.DUE.set(due)
        return False
