"""The loop that samples the queues."""

from chassis.loops import Loop
from chassis.postgres import Database
from operations.letters.records import LetterKind
from operations.metrics import COUNT_AT_MOST, JOBS, OPEN_LETTERS, OUTBOX_AGE, OUTBOX_DEPTH, SAMPLED_AT
from operations.queues import store


class QueueMetrics(Loop):
    """Sample the gauges. They keep their values while Postgres is away; SAMPLED_AT shows their age."""

    name = "queue-metrics"
    interval = 15.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def run_once(self) -> bool:
        async with self._database.index_walk() as connection:
            jobs = await store.count_jobs(connection, COUNT_AT_MOST)
            depth, age = await store.measure_outbox(connection, COUNT_AT_MOST)
            letters = await store.count_open_letters(connection, list(LetterKind), COUNT_AT_MOST)
        JOBS.clear()
        for (status, model), count in jobs.items():
            JOBS.labels(status, model).set(count)
        OUTBOX_DEPTH.set(depth)
        OUTBOX_AGE.set(age)
        for kind, count in letters.items():
            OPEN_LETTERS.labels(kind).set(count)
        SAMPLED_AT.set_to_current_time()
        return False
