"""Samples of the queues, for the gauges and for operators."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from chassis.errors import UnavailableError
from chassis.loops import Loop
from chassis.postgres import Database
from chassis.single_flight import SingleFlight
from darkroom_contracts.states import LetterKind
from operations.metrics import COUNT_AT_MOST
from operations.queues import gauges, store
from operations.queues.records import Counts, Depth, Depths, Sample

FRESH_SECONDS = 2.0
"""How old a sample may be that answers an operator: many who look cost as much as one."""
DEPTHS_SECONDS = 2.0
"""How long a sample waits for RabbitMQ's answer."""
MOST_GROUPS = 10_000
"""How many groups of dead letters are added up."""

log = structlog.get_logger()


class Sampler:
    """Takes samples, one at a time. What a sample costs does not grow with the backlog."""

    def __init__(
        self,
        database: Database,
        depths: Depths,
        queues: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`queues` are those of RabbitMQ to look at."""
        self._database = database
        self._depths = depths
        self._queues = queues
        self._clock = clock
        self._flight = SingleFlight[None, Sample](self._take, join_running=True)
        self._latest: tuple[float, Sample] | None = None
        self._reading: asyncio.Task[dict[str, Depth] | None] | None = None
        """The last request to RabbitMQ. A next one is sent only when it has ended."""

    async def fresh(self) -> Sample:
        """Return a sample of the last seconds. Raises DatabaseUnavailableError and DatabaseBusyError."""
        if self._latest is not None and self._clock() - self._latest[0] < FRESH_SECONDS:
            return self._latest[1]
        return await self._flight.call(None)

    async def _take(self, _: None) -> Sample:
        began = self._clock()
        counts, depths = await asyncio.gather(self._count(), self._read_depths())
        sample = Sample(counts, depths)
        self._latest = began, sample
        return sample

    async def _count(self) -> Counts:
        async with self._database.index_walk() as connection:
            jobs = await store.count_jobs(connection, COUNT_AT_MOST)
            messages, overdue = await store.measure_outbox(connection, COUNT_AT_MOST)
            return Counts(
                queued={model: count for (status, model), count in jobs.items() if status == "queued"},
                in_flight={model: count for (status, model), count in jobs.items() if status == "running"},
                oldest=await store.find_oldest(connection),
                outbox_messages=messages,
                outbox_overdue_seconds=overdue,
                open_letters=await store.count_open_letters(connection, list(LetterKind), COUNT_AT_MOST),
                letters_by_code=await store.count_letters_by_code(connection, MOST_GROUPS),
                taken_at=await store.read_clock(connection),
            )

    async def _read_depths(self) -> dict[str, Depth] | None:
        """Return the depths, or None if RabbitMQ is away or takes longer than a sample waits."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._ask())
        await asyncio.wait([self._reading], timeout=DEPTHS_SECONDS)
        return self._reading.result() if self._reading.done() else None

    async def _ask(self) -> dict[str, Depth] | None:
        try:
            return await self._depths.read(self._queues)
        except UnavailableError as error:
            log.warning("RabbitMQ did not answer for its queues", error=str(error))
            return None


class QueueMetrics(Loop):
    """Sample the gauges. They keep their values while Postgres is away; SAMPLED_AT shows their age."""

    name = "queue-metrics"
    interval = 15.0

    def __init__(self, database: Database, sampler: Sampler) -> None:
        super().__init__()
        self._database = database
        self._sampler = sampler

    async def run_once(self) -> bool:
        sample = await self._sampler.fresh()
        async with self._database.connection() as connection:
            pauses = await store.list_pauses(connection)
            workers = await store.count_workers(connection)
        gauges.publish(sample, pauses, workers)
        return False
