"""What operations tells Prometheus, and the loop that samples the queues."""

from prometheus_client import Counter, Gauge

from chassis.loops import Loop
from chassis.postgres import Database
from operations import store

COUNT_AT_MOST = 100_000
"""Where the gauges stop counting."""

SWEPT = Counter("darkroom_operations_swept_total", "Rows that a sweep acted on.", ["sweep"])
INGESTED = Counter("darkroom_operations_ingested_total", "Messages from the dead-letter queue, by result.", ["result"])
JOBS = Gauge("darkroom_jobs", f"Jobs that wait or run; counted up to {COUNT_AT_MOST}.", ["status", "model"])
OUTBOX_DEPTH = Gauge("darkroom_outbox_messages", f"Messages to publish; counted up to {COUNT_AT_MOST}.")
OUTBOX_AGE = Gauge("darkroom_outbox_overdue_seconds", "For how long the most overdue message has waited.")
OPEN_LETTERS = Gauge("darkroom_dead_letters_open", f"Open dead letters; counted up to {COUNT_AT_MOST}.", ["kind"])
SAMPLED_AT = Gauge("darkroom_queue_sample_timestamp_seconds", "When the gauges above were last taken.")


class QueueMetrics(Loop):
    """Samples the gauges. Postgres away leaves them as they were; SAMPLED_AT tells how old they are."""

    name = "queue-metrics"
    interval = 15.0

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def run_once(self) -> bool:
        async with self._database.index_walk() as connection:
            jobs = await store.count_jobs(connection, COUNT_AT_MOST)
            depth, age = await store.measure_outbox(connection, COUNT_AT_MOST)
            letters = await store.count_open_letters(connection, COUNT_AT_MOST)
        JOBS.clear()
        for (status, model), count in jobs.items():
            JOBS.labels(status, model).set(count)
        OUTBOX_DEPTH.set(depth)
        OUTBOX_AGE.set(age)
        for kind in ("job", "orphan", "undecodable"):
            OPEN_LETTERS.labels(kind).set(letters.get(kind, 0))
        SAMPLED_AT.set_to_current_time()
        return False
