"""A sample as gauges."""

from collections.abc import Iterable, Mapping

from operations.metrics import (
    BROKER_MESSAGES,
    JOBS,
    LETTERS_BY_CODE,
    OLDEST_JOB,
    OPEN_LETTERS,
    OUTBOX_AGE,
    OUTBOX_DEPTH,
    PAUSED,
    SAMPLED_AT,
    WORKERS,
)
from operations.queues.records import Counts, Depth, Sample


def publish(sample: Sample, paused: Iterable[str], workers: Mapping[str, int]) -> None:
    """Set the gauges. `paused` are the paused models, `workers` open sessions by model."""
    _publish_counts(sample.counts)
    _publish_depths(sample.depths or {})
    PAUSED.clear()
    for model in paused:
        PAUSED.labels(model).set(1)
    WORKERS.clear()
    for model, count in workers.items():
        WORKERS.labels(model).set(count)
    SAMPLED_AT.set_to_current_time()


def _publish_counts(counts: Counts) -> None:
    JOBS.clear()
    OLDEST_JOB.clear()
    for status, jobs in (("queued", counts.queued), ("running", counts.in_flight)):
        for model, count in jobs.items():
            JOBS.labels(status, model).set(count)
    for model, queued_at in counts.oldest.items():
        OLDEST_JOB.labels(model).set(max(0.0, (counts.taken_at - queued_at).total_seconds()))
    OUTBOX_DEPTH.set(counts.outbox_messages)
    OUTBOX_AGE.set(counts.outbox_overdue_seconds)
    for kind, count in counts.open_letters.items():
        OPEN_LETTERS.labels(kind).set(count)
    LETTERS_BY_CODE.clear()
    for labels, count in counts.letters_by_code.items():
        LETTERS_BY_CODE.labels(*labels).set(count)


def _publish_depths(depths: Mapping[str, Depth]) -> None:
    """Set the gauges of RabbitMQ's queues; without an answer of RabbitMQ there are none."""
    BROKER_MESSAGES.clear()
    for queue, depth in depths.items():
        for state in ("ready", "unacknowledged", "dead_lettering"):
            count = getattr(depth, state)
            if count is not None:
                BROKER_MESSAGES.labels(queue, state).set(count)
