"""Declaration of the broker's topology, so that every published message finds its queue."""

from collections.abc import Iterable
from typing import ClassVar

import structlog

from chassis.broker import Broker
from chassis.loops import Loop
from darkroom_contracts.topology import Lanes, topology

log = structlog.get_logger()


class Declarer(Loop):
    """Declares the queues of all models at the start, and again whenever a message is returned as unroutable.

    It retries while RabbitMQ is away; submissions are accepted in the meantime.
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
        """Declare everything again, and the queues of these models, which may have left the catalogue since."""
        self._models.update(models)
        self._declared = False
        self.wake()

    async def run_once(self) -> bool:
        """Declare the topology unless it is declared."""
        if not self._declared:
            self._declared = True  # before the call, so that a `require` during the call is not lost
            try:
                await self._broker.declare(topology(sorted(self._models), self._lanes))
            except Exception:
                self._declared = False
                raise
            log.info("topology declared", models=sorted(self._models))
        return False
