"""What the gateway tells Prometheus."""

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
    "Messages by what the broker said: confirmed, returned, refused, unknown (the channel was lost), unconfirmed (no"
    " answer in time); obsolete were dropped, since their job needs none; unreadable are those of a broken row.",
    ["result"],
)
RELAY_LAG = Gauge("darkroom_gateway_relay_lag_seconds", "How long the oldest message of the latest batch had waited.")
OPEN_CIRCUITS = Gauge(
    "darkroom_gateway_relay_open_circuits", "Queues that confirm nothing and get a single message now and then."
)
BROKER_UP = Gauge("darkroom_gateway_broker_up", "1 while the relay can publish.")
