"""The broker's topology as data, which `chassis.broker` declares.

Names and arguments follow three rules. All queues are durable quorum queues. A changed argument is a new queue name,
because RabbitMQ refuses to redeclare (406). Work queues dead-letter to the dead-letter queue only: a path from a work
queue through a TTL queue back to it would count as a cycle and drop messages.
"""

import random
from collections.abc import Iterator
from typing import Any

import msgspec

WORK_EXCHANGE = "darkroom.work"
RETRY_EXCHANGE = "darkroom.retry"
DEAD_EXCHANGE = "darkroom.dead"
EVENTS_EXCHANGE = "darkroom.events"
DEAD_QUEUE = "darkroom.dead.v1"

JOB_ID_HEADER = "darkroom-job-id"
LANE_HEADER = "lane"

# Backstops: attempts are counted in Postgres. -1 would dead-letter at the first requeue on RabbitMQ 3.10.
WORK_DELIVERY_LIMIT = 50
ENDLESS_DELIVERY_LIMIT = 1_000_000

DEFAULT_RETRY_DELAYS = (10, 60, 300)
# Only the head of a queue expires, so a TTL per message cannot spread retries: each rung has three queues instead.
SPREAD = {"a": 0.8, "b": 1.0, "c": 1.2}


class Exchange(msgspec.Struct, frozen=True):
    """A durable exchange."""

    name: str
    type: str


class Queue(msgspec.Struct, frozen=True):
    """A durable queue."""

    name: str
    arguments: dict[str, Any]


class Binding(msgspec.Struct, frozen=True):
    """A binding of a queue to an exchange."""

    exchange: str
    queue: str
    routing_key: str = ""
    arguments: dict[str, Any] | None = None


class Topology(msgspec.Struct, frozen=True):
    """Exchanges, queues and bindings that are declared together."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


class Lane(msgspec.Struct, frozen=True):
    """A retry queue. Messages wait in it for `ttl_ms` milliseconds, then return to the work exchange."""

    name: str
    ttl_ms: int

    @property
    def queue(self) -> str:
        """Name of the lane's queue."""
        return f"darkroom.retry.{self.name}.v1"


class Lanes(msgspec.Struct, frozen=True):
    """The retry ladder: a rung for each delay, with three lanes."""

    rungs: tuple[tuple[Lane, ...], ...]

    @classmethod
    def of(cls, delays: tuple[int, ...] = DEFAULT_RETRY_DELAYS) -> "Lanes":
        """Build the ladder from its delays in seconds."""
        return cls(tuple(_rung(delay) for delay in sorted(delays)))

    def __iter__(self) -> Iterator[Lane]:
        return (lane for rung in self.rungs for lane in rung)

    def after(self, attempt: int) -> Lane:
        """Return a random lane of the rung for a job whose given attempt (counted from 1) failed."""
        return random.choice(self.rungs[min(attempt, len(self.rungs)) - 1])  # noqa: S311 - jitter, not a secret

    def covering(self, milliseconds: float) -> Lane:
        """Return the shortest lane with at least this delay, or the longest lane."""
        by_ttl = sorted(self, key=lambda lane: lane.ttl_ms)
        return next((lane for lane in by_ttl if lane.ttl_ms >= milliseconds), by_ttl[-1])


def _rung(delay: int) -> tuple[Lane, ...]:
    label = f"{delay // 60}m" if delay >= 60 and delay % 60 == 0 else f"{delay}s"
    return tuple(Lane(f"{label}{letter}", round(delay * factor * 1000)) for letter, factor in SPREAD.items())


def work_queue(model: str) -> str:
    """Return the name of the model's queue."""
    return f"darkroom.render.{model}.v1"


EXCHANGES = (
    Exchange(WORK_EXCHANGE, "direct"),
    Exchange(RETRY_EXCHANGE, "headers"),
    Exchange(DEAD_EXCHANGE, "fanout"),
    Exchange(EVENTS_EXCHANGE, "topic"),
)


def topology(models: list[str], lanes: Lanes) -> Topology:
    """Return everything that must be declared before messages of the models are published."""
    dead = Queue(DEAD_QUEUE, {"x-queue-type": "quorum", "x-delivery-limit": ENDLESS_DELIVERY_LIMIT})
    return Topology(
        exchanges=EXCHANGES,
        queues=(dead, *(_work_queue(model) for model in models), *(_lane_queue(lane) for lane in lanes)),
        bindings=(
            Binding(DEAD_EXCHANGE, DEAD_QUEUE),
            *(Binding(WORK_EXCHANGE, work_queue(model), model) for model in models),
            *(
                Binding(RETRY_EXCHANGE, lane.queue, arguments={"x-match": "all", LANE_HEADER: lane.name})
                for lane in lanes
            ),
        ),
    )


def _work_queue(model: str) -> Queue:
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        # At-least-once dead-lettering silently falls back to at-most-once without reject-publish.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-delivery-limit": WORK_DELIVERY_LIMIT,
    }
    return Queue(work_queue(model), arguments)


def _lane_queue(lane: Lane) -> Queue:
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": lane.ttl_ms,
        # At most once on purpose: with at-least-once, one missing target would block the retries of all other models,
        # and the republish sweep makes a loss harmless.
        "x-dead-letter-exchange": WORK_EXCHANGE,
        "x-delivery-limit": ENDLESS_DELIVERY_LIMIT,
    }
    return Queue(lane.queue, arguments)
