"""The metrics of webhooks."""

from prometheus_client import Counter, Gauge, Histogram

from darkroom_contracts.states import DeliveryOutcome

COUNT_AT_MOST = 10_000
"""The largest value of the gauges of waiting deliveries: counting stops there."""

WAITING = Gauge("darkroom_webhook_deliveries_waiting", f"Deliveries to send; counted up to {COUNT_AT_MOST}.")
DUE = Gauge(
    "darkroom_webhook_deliveries_due",
    "Those of the counted deliveries whose next attempt is due, without those of endpoints that are paused.",
)
OLDEST = Gauge(
    "darkroom_webhook_oldest_due_seconds",
    "Seconds for which the most overdue delivery is due. Those of endpoints that are paused, and of receivers that are"
    " skipped because they don't work, are not counted.",
)
UNSIGNABLE = Gauge(
    "darkroom_webhook_unsignable_endpoints",
    "Endpoints with due deliveries that this process can't sign, because it lacks a master key of theirs.",
)
MASTER_KEY_USE = Gauge(
    "darkroom_webhook_endpoints_by_master_key",
    "Endpoints whose valid secrets or whose headers need a master key. Remove a key from the settings when it has 0.",
    ["master_key"],
)
MASTER_KEY_MISSING = Gauge(
    "darkroom_webhook_endpoints_without_master_key", "Endpoints that need a master key which is not in the settings."
)
IN_FLIGHT = Gauge("darkroom_webhook_deliveries_in_flight", "Attempts that this process has in flight.")
ATTEMPTS = Counter(
    "darkroom_webhook_attempts_total", "Attempts that ended, by outcome and HTTP status class.", ["outcome", "status"]
)
for _outcome, _status in (
    (DeliveryOutcome.SUCCEEDED, "2xx"),
    *((DeliveryOutcome.FAILED, status) for status in ("none", "4xx", "5xx")),
    (DeliveryOutcome.RELEASED, "none"),
    (DeliveryOutcome.LOST, "none"),
):
    ATTEMPTS.labels(_outcome, _status)  # at 0 from the start: a rate of what is missing is neither 0 nor above it
OPEN_CIRCUITS = Gauge(
    "darkroom_webhook_open_circuits",
    "Circuits that are open: of a tenant's use of an origin, or of an origin that asked for less.",
    ["kind"],
)
ATTEMPT_SECONDS = Histogram(
    "darkroom_webhook_attempt_seconds",
    "Duration of an attempt.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
LATENCY = Histogram(
    "darkroom_webhook_delivery_seconds",
    "Time from an event to its successful delivery at the first attempt.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
REDELIVERIES = Counter(
    "darkroom_webhook_redeliveries_total",
    "Deliveries that their owners sent again: one at a time, or by a recovery of an endpoint.",
    ["by"],
)
RATE_LIMITED = Counter(
    "darkroom_webhook_rate_limited_total", "Requests that were refused because of their tenant's rate.", ["act"]
)
