"""How the queues stand."""

from collections.abc import Iterable, Sequence

from chassis.postgres import Database
from darkroom_contracts.api.queues import BrokerQueue, Outbox, Queue, QueueList
from darkroom_contracts.topology import DEAD_QUEUE, Lanes, work_queue
from operations.metrics import COUNT_AT_MOST
from operations.queues import store
from operations.queues.records import Depth, Sample, Standing
from operations.queues.sampling import Sampler


def broker_queues(models: Iterable[str], lanes: Lanes) -> list[str]:
    """Return the names of RabbitMQ's queues that operators look at."""
    return [DEAD_QUEUE, *(work_queue(model) for model in models), *(lane.queue for lane in lanes)]


class Overview:
    """The queues of the catalogue's models, and of those that left it with jobs or a pause."""

    def __init__(self, database: Database, sampler: Sampler, models: Sequence[str], lanes: Lanes) -> None:
        self._database = database
        self._sampler = sampler
        self._models = models
        self._lanes = lanes

    async def show(self, model: str | None = None) -> QueueList:
        """Return how the queues stand, or that of one model."""
        sample = await self._sampler.fresh()
        async with self._database.connection() as connection:
            standing = Standing(await store.list_pauses(connection), await store.count_workers(connection))
        counts = sample.counts
        shown = [name for name in self._known(sample, standing) if model in (None, name)]
        return QueueList(
            queues=tuple(_queue(name, sample, standing) for name in shown),
            lanes=tuple(_broker_queue(lane.queue, sample) for lane in self._lanes),
            dead_letter_queue=_broker_queue(DEAD_QUEUE, sample),
            outbox=Outbox(counts.outbox_messages, round(counts.outbox_overdue_seconds, 1)),
            count_limit=COUNT_AT_MOST,
            sampled_at=counts.taken_at,
        )

    async def knows(self, model: str) -> bool:
        """Return whether the list has the model."""
        return bool((await self.show(model)).queues)

    def _known(self, sample: Sample, standing: Standing) -> list[str]:
        counts = sample.counts
        return sorted({*self._models, *counts.queued, *counts.in_flight, *standing.pauses, *standing.workers})


def _queue(model: str, sample: Sample, standing: Standing) -> Queue:
    counts = sample.counts
    return Queue(
        model=model,
        queued=counts.queued.get(model, 0),
        oldest_queued_at=counts.oldest.get(model),
        in_flight=counts.in_flight.get(model, 0),
        workers=standing.workers.get(model, 0),
        paused=standing.pauses.get(model),
        broker=_broker_queue(work_queue(model), sample),
    )


def _broker_queue(name: str, sample: Sample) -> BrokerQueue:
    depth = (sample.depths or {}).get(name, Depth())
    return BrokerQueue(name, depth.ready, depth.unacknowledged, depth.dead_lettering)
