"""The metrics of operations."""

from prometheus_client import Counter, Gauge

COUNT_AT_MOST = 100_000
"""The largest value of the gauges: counting stops there."""

SWEPT = Counter("darkroom_operations_swept_total", "Rows that a sweep acted on.", ["sweep"])
INGESTED = Counter("darkroom_operations_ingested_total", "Messages from the dead-letter queue, by result.", ["result"])
JOBS = Gauge("darkroom_jobs", f"Queued and running jobs; counted up to {COUNT_AT_MOST}.", ["status", "model"])
OUTBOX_DEPTH = Gauge("darkroom_outbox_messages", f"Messages to publish; counted up to {COUNT_AT_MOST}.")
OUTBOX_AGE = Gauge("darkroom_outbox_overdue_seconds", "Seconds since the most overdue message became due.")
OPEN_LETTERS = Gauge("darkroom_dead_letters_open", f"Open dead letters; counted up to {COUNT_AT_MOST}.", ["kind"])
SAMPLED_AT = Gauge("darkroom_queue_sample_timestamp_seconds", "Time of the last sample of the gauges above.")
