"""The metrics of operations."""

from prometheus_client import Counter, Gauge

from darkroom_contracts.api.keys import EXPIRING_DAYS

COUNT_AT_MOST = 100_000
"""The largest value of the gauges: counting stops there."""

SWEPT = Counter("darkroom_operations_swept_total", "Rows that a sweep acted on.", ["sweep"])
INGESTED = Counter("darkroom_operations_ingested_total", "Messages from the dead-letter queue, by result.", ["result"])
JOBS = Gauge("darkroom_jobs", f"Queued and running jobs; counted up to {COUNT_AT_MOST}.", ["status", "model"])
OLDEST_JOB = Gauge("darkroom_queue_oldest_seconds", "Seconds since the oldest queued job was queued.", ["model"])
PAUSED = Gauge("darkroom_model_paused", "1 for each paused model; others have no sample.", ["model"])
WORKERS = Gauge("darkroom_workers", "Workers with an open session.", ["model"])
BROKER_MESSAGES = Gauge(
    "darkroom_broker_messages",
    "Messages of RabbitMQ's queues by state: ready; with the management API unacknowledged and dead_lettering, too.",
    ["queue", "state"],
)
OUTBOX_DEPTH = Gauge("darkroom_outbox_messages", f"Messages to publish; counted up to {COUNT_AT_MOST}.")
OUTBOX_AGE = Gauge("darkroom_outbox_overdue_seconds", "Seconds since the most overdue message became due.")
OPEN_LETTERS = Gauge("darkroom_dead_letters_open", f"Open dead letters; counted up to {COUNT_AT_MOST}.", ["kind"])
LETTERS_BY_CODE = Gauge(
    "darkroom_dead_letters_open_by_code",
    "Open dead letters by what failed, in the 10,000 groups that were seen last.",
    ["kind", "model", "code"],
)
SAMPLED_AT = Gauge("darkroom_queue_sample_timestamp_seconds", "Time of the last sample of the gauges above.")

ALERTS_OPEN = Gauge("darkroom_alerts_open", f"Open alerts; counted up to {COUNT_AT_MOST}.", ["kind"])
ALERTS_OPENED = Counter("darkroom_alerts_opened_total", "Alerts that this process opened.", ["kind"])

KEYS_EXPIRING = Gauge(
    "darkroom_api_keys_expiring",
    f"Working API keys that expire within {EXPIRING_DAYS} days without a successor.",
    ["scope"],
)
KEYS_EXPIRED_IN_USE = Gauge(
    "darkroom_api_keys_expired_in_use", "Expired API keys that somebody sent within a day.", ["scope"]
)

REPLAY_ITEMS = Counter(
    "darkroom_replay_items_total", "Dead letters that bulk replays handled: replayed or refused.", ["state"]
)
