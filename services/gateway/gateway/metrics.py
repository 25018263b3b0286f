"""The metrics of the gateway."""

from prometheus_client import Counter, Gauge, Histogram

JOBS = Counter(
    "darkroom_gateway_jobs_total", "Submissions by outcome: accepted, replayed, or the problem's code.", ["outcome"]
)
BATCH_SIZE = Histogram(
    "darkroom_gateway_batch_jobs", "Submissions that shared a commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
COMMIT_SECONDS = Histogram("darkroom_gateway_commit_seconds", "Time to commit a batch.")
PUBLISHES = Counter(
    "darkroom_gateway_outbox_publishes_total",
    "Messages by result: confirmed, returned, refused, unknown (the channel was lost), unconfirmed (no confirm in"
    " time), obsolete (their job needs none) or unreadable (their job's row cannot be decoded).",
    ["result"],
)
RELAY_LAG = Gauge("darkroom_gateway_relay_lag_seconds", "Age of the oldest message of the latest batch.")
OPEN_CIRCUITS = Gauge(
    "darkroom_gateway_relay_open_circuits", "Queues that confirm nothing and are probed by single messages."
)
BROKER_UP = Gauge("darkroom_gateway_broker_up", "1 while the relay can publish.")
