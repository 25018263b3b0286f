"""Gauges of the keys that need attention before, or because, they are refused."""

from chassis.loops import Loop
from chassis.postgres import Database
from darkroom_contracts.api import Scope
from operations.keys import store
from operations.keys.records import Expiry
from operations.metrics import KEYS_EXPIRED_IN_USE, KEYS_EXPIRING

_NONE = Expiry(0, 0)


class KeyMetrics(Loop):
    """Sample the gauges, one sample for each scope."""

    name = "key-metrics"
    interval = 60.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def run_once(self) -> bool:
        async with self._database.connection() as connection:
            counted = await store.count_by_expiry(connection)
        for scope in Scope:
            expiry = counted.get(scope, _NONE)
            KEYS_EXPIRING.labels(scope).set(expiry.expiring)
            KEYS_EXPIRED_IN_USE.labels(scope).set(expiry.expired_in_use)
        return False
