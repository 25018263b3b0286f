"""Message counts of a stack's RabbitMQ, from its management API."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from bench.stack import Target

WORK_QUEUES = "darkroom.render."
REFRESH_SECONDS = 6.0
"""Longer than the API's counts are cached, which is 5 s."""
ARRIVAL_SECONDS = 60.0


class MessagesMissingError(Exception):
    """Fewer messages reached the queues than jobs were accepted and removed from the outbox."""


def waiting_messages(target: Target) -> int:
    """Return the number of messages in the work queues, unacknowledged ones included, when it no longer changes."""
    latest, earlier = _count(target), -1
    while latest != earlier:
        time.sleep(REFRESH_SECONDS)
        latest, earlier = _count(target), latest
    return latest


def await_messages(target: Target, at_least: int) -> None:
    """Wait until the work queues hold at least this number of messages. Raises MessagesMissingError."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while (found := _count(target)) < at_least:
        if time.monotonic() > deadline:
            raise MessagesMissingError(f"The outbox is empty, but the queues hold {found:,} of {at_least:,} messages.")
        time.sleep(1)


def count_work(queues: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of messages in those queues of the management API's list that workers consume."""
    return sum(queue.get("messages", 0) for queue in queues if queue["name"].startswith(WORK_QUEUES))


def _count(target: Target) -> int:
    url = f"{target.settings['DARKROOM_AMQP_MANAGEMENT_URL']}/api/queues?columns=name,messages"
    return count_work(httpx2.get(url, timeout=30).raise_for_status().json())
