"""The use cases of queues over a database, with depths that a test sets."""

import asyncio
from collections.abc import Sequence

from chassis.errors import BrokerUnavailableError
from chassis.postgres import Database
from darkroom_contracts.topology import Lanes
from operations.queues.overview import Overview, broker_queues
from operations.queues.pausing import Pausing
from operations.queues.records import Depth
from operations.queues.sampling import Sampler
from tests.support.clocks import Clock

MODELS = ("shapes", "tiny")
LANES = Lanes.of((10,))


class KnownDepths:
    """Depths that a test sets; None while RabbitMQ is away."""

    def __init__(self) -> None:
        self.known: dict[str, Depth] | None = {}
        self.reads = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def read(self, queues: Sequence[str]) -> dict[str, Depth]:
        self.reads += 1
        await self.answering.wait()
        if self.known is None:
            raise BrokerUnavailableError("away")
        return {name: self.known[name] for name in queues if name in self.known}


class Stand:
    """The queues of two models. Its clock stands still, so that samples stay fresh until a test moves it."""

    def __init__(self, pool: Database) -> None:
        self.clock = Clock()
        self.depths = KnownDepths()
        self.sampler = Sampler(pool, self.depths, broker_queues(MODELS, LANES), self.clock)
        self.overview = Overview(pool, self.sampler, MODELS, LANES)
        self.pausing = Pausing(pool, self.overview)
