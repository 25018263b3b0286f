"""Drain the dead-letter queue into the table `dead_letters`, which operators inspect.

The loop asks instead of staying subscribed: the queue is nearly always empty, no message stays unacknowledged between
two rounds, and a round that can't reach Postgres takes none.
"""

from collections.abc import Sequence

import structlog

from chassis.broker import Broker
from chassis.consuming import Delivery, QueueConsumer
from chassis.errors import TransientDatabaseError
from chassis.loops import Loop
from chassis.postgres import Database
from darkroom_contracts.topology import DEAD_QUEUE, Lanes, topology
from operations.letters.recording import DeadMessage, Ingested, ingest, ingest_all
from operations.metrics import INGESTED

__all__ = ["BATCH", "Ingest", "Ingested", "ingest"]

log = structlog.get_logger()

BATCH = 200
"""Messages of a transaction. Together they are in memory."""


class Ingest(Loop):
    """Move messages from the queue to the table in batches, and acknowledge a batch after its commit."""

    name = "ingest"
    interval = 1.0

    def __init__(self, database: Database, broker: Broker) -> None:
        super().__init__()
        self._database = database
        self._broker = broker
        self._queue = QueueConsumer(broker, DEAD_QUEUE, prefetch=BATCH - 1)
        self._is_declared = False

    async def run_once(self) -> bool:
        """Ingest at most BATCH messages. Raises BrokerUnavailableError and what `Database.transaction` raises."""
        await self._database.check()
        try:
            await self._declare()
            return await self._drain()
        except Exception:
            # The queue may be missing, and a message that was not acknowledged must return to it.
            self._is_declared = False
            await self._queue.close()
            raise

    async def _declare(self) -> None:
        if not self._is_declared:
            await self._broker.declare(topology([], Lanes(())))
            self._is_declared = True

    async def _drain(self) -> bool:
        deliveries = await self._queue.take(BATCH)
        if not deliveries:
            return False
        try:
            results = await ingest_all(self._database, [_message(each) for each in deliveries])
        except TransientDatabaseError:
            raise
        except Exception as error:
            log.warning("a batch of dead messages can't be recorded", messages=len(deliveries), error=repr(error))
            await self._drain_singly(deliveries)
        else:
            if await deliveries[-1].ack_all():
                _count(results)
        return len(deliveries) == BATCH

    async def _drain_singly(self, deliveries: Sequence[Delivery]) -> None:
        """Record each message by itself, then raise the error of those that can't be recorded."""
        refused: Exception | None = None
        for each in deliveries:
            try:
                result = await ingest(self._database, each.body, each.headers)
            except TransientDatabaseError:
                raise
            except Exception as error:
                refused = error
            else:
                if await each.ack():
                    _count([result])
        if refused is not None:
            raise refused


def _count(results: Sequence[Ingested]) -> None:
    for result in results:
        INGESTED.labels(result).inc()


def _message(delivery: Delivery) -> DeadMessage:
    return DeadMessage(delivery.body, delivery.headers)
