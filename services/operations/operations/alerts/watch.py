"""The loop that looks for stalled queues, lost workers and stuck messages."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from chassis.postgres import Connection, Database
from darkroom_contracts.webhooks import OperatorEvent
from operations.alerts import store
from operations.alerts.alerts import Alerts
from operations.alerts.records import KINDS, WATCHED, Condition, Terms
from operations.metrics import ALERTS_OPEN, COUNT_AT_MOST
from operations.sweeps.sweep import PatientSweep

OPEN_AT_MOST = 10_000
"""How many open alerts a round looks at."""


class Watch(PatientSweep):
    """Open an alert when its condition is found in two rounds, and resolve it when it is not found any more.

    One round could meet a moment: a model was just resumed, a worker just came back.
    """

    name = "alerts"
    interval = 15.0

    def __init__(
        self, database: Database, alerts: Alerts, terms: Terms, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(database, terms.lease, clock)
        self._alerts = alerts
        self._terms = terms
        self._before: set[tuple[str, str, str]] = set()
        """The conditions of the round before."""

    async def run_once(self) -> bool:
        await super().run_once()
        return False

    async def sweep(self, connection: Connection) -> int:
        """Compare what is found with what is open. Return how many alerts changed."""
        found = await self._find(connection)
        changed = await self._open(connection, found) + await self._resolve(connection, found)
        for kind, count in (await store.count_open(connection, KINDS, COUNT_AT_MOST)).items():
            ALERTS_OPEN.labels(kind).set(count)
        return changed

    def _connect(self) -> AbstractAsyncContextManager[Connection]:
        """Return a connection in autocommit mode: each alert is a transaction of its own."""
        return self._database.connection()

    async def _find(self, connection: Connection) -> list[Condition]:
        async with self._database.index_walk() as walk:
            return [
                *await store.find_stalled(walk, self._terms.stalled),
                *await store.find_lost(walk, self._terms.lost),
                *await store.find_stuck(walk, self._terms.stuck),
            ]

    async def _open(self, connection: Connection, found: Iterable[Condition]) -> int:
        now = {(*condition.key, condition.mark): condition for condition in found}
        confirmed = [condition for mark, condition in now.items() if mark in self._before]
        self._before = set(now)
        opened = 0
        for condition in confirmed:
            async with connection.transaction():
                opened += await self._alerts.open(connection, condition.kind, condition.subject, condition.data)
        return opened

    async def _resolve(self, connection: Connection, found: Iterable[Condition]) -> int:
        held = {condition.key for condition in found}
        resolved = 0
        for kind, subject in await store.list_open(connection, WATCHED, OPEN_AT_MOST):
            if (kind, subject) not in held:
                async with connection.transaction():
                    resolved += await self._alerts.resolve(connection, OperatorEvent(kind), subject)
        return resolved
