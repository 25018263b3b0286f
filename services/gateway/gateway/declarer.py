"""Keeps the broker's topology declared, so that nothing that is published finds no queue."""

from collections.abc import Iterable
from typing import ClassVar

import structlog

from chassis.broker import Broker
from chassis.loops import Loop
from darkroom_contracts.topology import Lanes, topology

log = structlog.get_logger()


class Declarer(Loop):
    """Declares the queues of all models at the start, and again whenever a message came back unroutable.

    It retries for as long as RabbitMQ is away; intake goes on meanwhile.
    """

    name: ClassVar[str] = "topology"
    interval = 60.0

    def __init__(self, broker: Broker, models: Iterable[str], lanes: Lanes) -> None:
        super().__init__()
        self._broker = broker
        self._models = set(models)
        self._lanes = lanes
        self._declared = False

    def require(self, models: Iterable[str]) -> None:
        """Declare everything again, the queues of these models too: they may have left the catalogue meanwhile."""
        self._models.update(models)
        self._declared = False
        self.wake()

    async def run_once(self) -> bool:
        """Declare unless that was done."""
        if not self._declared:
            self._declared = True  # before the work, so that a demand that comes meanwhile is not forgotten
            try:
                await self._broker.declare(topology(sorted(self._models), self._lanes))
            except Exception:
                self._declared = False
                raise
            log.info("topology declared", models=sorted(self._models))
        return False
