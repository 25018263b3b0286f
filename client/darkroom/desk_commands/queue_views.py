"""Queues as commands print them for people."""

from collections.abc import Iterable, Sequence

import click

from darkroom.console import UNKNOWN, print_fields
from darkroom.desk_commands.rows import Row, ago, print_rows
from darkroom_contracts.api.queues import BrokerQueue, PauseReply, Queue, QueueList

Fields = list[tuple[str, object]]


def print_queues(found: QueueList) -> None:
    """Print a line for each model, and the other queues below."""
    if not found.queues:
        click.echo("There are no models: the catalogue that DARKROOM_MODELS_FILE names has none.")
        return
    with_held = any(queue.broker.unacknowledged is not None for queue in found.queues)
    columns = ("model", "queued", "oldest", "running", "workers", "ready", *(["unacked"] if with_held else []))
    print_rows(columns, (_row(queue, found.count_limit, with_held) for queue in found.queues), text="", whole=True)
    click.echo()
    print_fields([*_other_queues(found), *_messages(found), ("sampled", ago(found.sampled_at))])


def print_queue(queue: Queue, found: QueueList) -> None:
    """Print the queue of one model."""
    broker = queue.broker
    fields: Fields = [
        ("model", queue.model),
        ("queued", _count(queue.queued, found.count_limit)),
        ("oldest", queue.oldest_queued_at and ago(queue.oldest_queued_at)),
        ("running", f"{queue.in_flight:,}"),
        ("workers", f"{queue.workers:,}"),
        ("state", state(queue) or "open"),
        ("RabbitMQ", f"{broker.name}: {_depth(broker)}"),
        ("sampled", ago(found.sampled_at)),
    ]
    print_fields(fields)


def state(queue: Queue) -> str:
    """Return why jobs wait: a pause and how to end it, or that no worker runs. Empty where workers take them."""
    pause = queue.paused
    if pause is not None:
        resume = f"`darkroom queues resume {queue.model}` resumes it"
        return f"paused {ago(pause.at)} by {pause.by}: {pause.reason} ({resume})"
    return "no worker: jobs wait until one is started" if queue.queued and not queue.workers else ""


def expiring(paused: PauseReply) -> str:
    """Return how many jobs a pause costs, as a sentence."""
    hour, day = paused.expiring_within_hour, paused.expiring_within_day
    if not day:
        return "None of the jobs that wait now expires within a day."
    limit = paused.count_limit
    return (
        f"Of the jobs that wait now, {_count(hour, limit)} will expire if the pause lasts an hour, and"
        f" {_count(day, limit)} if it lasts a day."
    )


def _row(queue: Queue, limit: int, with_held: bool) -> Row:
    broker = queue.broker
    held = [_plain(broker.unacknowledged)] if with_held else []
    cells = (
        queue.model,
        _count(queue.queued, limit),
        queue.oldest_queued_at,
        f"{queue.in_flight:,}",
        f"{queue.workers:,}",
        _plain(broker.ready),
        *held,
    )
    return Row(cells, state(queue), notes=_stuck(broker))


def _stuck(broker: BrokerQueue) -> Sequence[str]:
    if not broker.dead_lettering:
        return ()
    return (f"{broker.dead_lettering:,} messages are on their way to the dead-letter queue",)


def _other_queues(found: QueueList) -> Fields:
    dead = found.dead_letter_queue
    if dead.ready is None:
        return [("RabbitMQ", "does not answer; its counts are missing")]
    return [
        ("retries", f"{_sum(found.lanes)} in the lanes"),
        ("dead letters", f"{dead.ready:,} wait to be recorded; see `darkroom dead-letters groups`"),
    ]


def _messages(found: QueueList) -> Fields:
    outbox = found.outbox
    overdue = f", the most overdue for {outbox.overdue_seconds:,.1f} s" if outbox.messages else ""
    return [("outbox", f"{_count(outbox.messages, found.count_limit)} to publish{overdue}")]


def _depth(broker: BrokerQueue) -> str:
    counts = (
        (broker.ready, "ready"),
        (broker.unacknowledged, "unacknowledged"),
        (broker.dead_lettering, "on their way to the dead-letter queue"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count is not None) or "does not answer"


def _sum(queues: Iterable[BrokerQueue]) -> str:
    return f"{sum(queue.ready or 0 for queue in queues):,}"


def _plain(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _count(count: int, limit: int) -> str:
    return f"{count:,} or more" if count >= limit else f"{count:,}"
