"""What waits in a stack's RabbitMQ, by its management API."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from bench.stack import Target

WORK_QUEUES = "darkroom.render."
REFRESH_SECONDS = 6.0
"""The API's counts are up to 5 s old."""
ARRIVAL_SECONDS = 60.0


class MessagesMissingError(Exception):
    """Fewer messages reached the queues than jobs were accepted and taken out of the outbox."""


def waiting_messages(target: Target) -> int:
    """Messages in the work queues, unacknowledged ones included, once the count stands still."""
    latest, earlier = _count(target), -1
    while latest != earlier:
        time.sleep(REFRESH_SECONDS)
        latest, earlier = _count(target), latest
    return latest


def await_messages(target: Target, at_least: int) -> None:
    """Wait until so many messages are in the work queues. Raises MessagesMissingError."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while (found := _count(target)) < at_least:
        if time.monotonic() > deadline:
            raise MessagesMissingError(
                f"The outbox is empty, but of {at_least:,} messages {found:,} are in the queues."
            )
        time.sleep(1)


def count_work(queues: Iterable[Mapping[str, Any]]) -> int:
    """Messages in the queues that workers consume, of all that the management API lists."""
    return sum(queue.get("messages", 0) for queue in queues if queue["name"].startswith(WORK_QUEUES))


def _count(target: Target) -> int:
    url = f"{target.settings['DARKROOM_AMQP_MANAGEMENT_URL']}/api/queues?columns=name,messages"
    return count_work(httpx2.get(url, timeout=30).raise_for_status().json())
