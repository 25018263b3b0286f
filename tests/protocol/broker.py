"""RabbitMQ as the protocol sees it, in memory: one work queue, retry lanes, a dead-letter queue.

It keeps what the real one guarantees and takes what it does not: a message may be delivered again, out of order,
or be lost with everything else; a publisher may never learn whether its message arrived.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from typing import Any

from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from darkroom_contracts.messages import decode_render, v1
from darkroom_contracts.topology import (
    DEAD_EXCHANGE,
    LANE_HEADER,
    RETRY_EXCHANGE,
    WORK_EXCHANGE,
    Lanes,
    Topology,
    work_queue,
)
from tests.protocol.snapshot import Key

DELIVERY_LIMIT = 1
"""Low, so that it is met; the topology's own is 50."""
LANES = Lanes.of((3600, 7200))
"""An hour and two: no lane is over by itself while a test runs."""
MODEL = "tiny"


class Fault(Enum):
    """What may befall a publish."""

    REFUSED = auto()
    RETURNED = auto()
    UNKNOWN_ARRIVED = auto()
    UNKNOWN_LOST = auto()


FAILURES = {
    Fault.REFUSED: RefusedError,
    Fault.RETURNED: UnroutableError,
    Fault.UNKNOWN_ARRIVED: BrokerUnavailableError,
    Fault.UNKNOWN_LOST: BrokerUnavailableError,
}


@dataclass(eq=False)
class Message:
    body: bytes
    headers: dict[str, Any]
    content_type: str = v1.CONTENT_TYPE
    exchange: str = WORK_EXCHANGE
    routing_key: str = MODEL
    deliveries: int = 0

    @property
    def key(self) -> Key | None:
        """Whose message it is, where it can be read."""
        try:
            render = decode_render(self.body)
        except v1.UndecodableMessageError:
            return None
        return render.job_id, render.generation


@dataclass(eq=False)
class Broker:
    """Lists in the order of arrival. `unacked` messages are with a consumer, named by their delivery tag."""

    work: list[Message] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list)
    """In the retry lanes."""
    dead: list[Message] = field(default_factory=list)
    unacked: dict[int, Message] = field(default_factory=dict)
    lost: set[Key | None] = field(default_factory=set)
    """Keys whose messages are gone by no fault of the product's, until one is published again."""
    faults: list[Fault] = field(default_factory=list)
    """What befalls the publishes to come, the next one last."""
    _tags: "count[int]" = field(default_factory=count)

    # --- what a publisher sees (chassis.publishing.Publisher) ---

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, Any], content_type: str
    ) -> None:
        assert "x-death" not in headers, "a message that copies x-death is dropped as a cycle"
        fault = self.faults.pop() if self.faults else None
        if fault in (None, Fault.UNKNOWN_ARRIVED):
            self._route(Message(body, dict(headers), content_type, exchange, routing_key))
        if fault is not None:
            raise FAILURES[fault]

    async def declare(self, topology: Topology) -> None:
        """Every queue is there; where one was missing it is back."""

    def _route(self, message: Message) -> None:
        if message.exchange == WORK_EXCHANGE and message.routing_key == MODEL:
            self.work.append(message)
        elif message.exchange == RETRY_EXCHANGE and message.headers[LANE_HEADER] in {lane.name for lane in LANES}:
            self.waiting.append(message)
        elif message.exchange == DEAD_EXCHANGE:
            self.dead.append(message)
        else:
            raise UnroutableError
        self.lost.discard(message.key)

    # --- what a consumer sees ---

    def deliver(self, message: Message) -> int:
        """Hand a message of the work queue to a consumer; its delivery tag."""
        self.work.remove(message)
        return self._hand_out(message)

    def deliver_dead(self, message: Message) -> int:
        self.dead.remove(message)
        return self._hand_out(message)

    def _hand_out(self, message: Message) -> int:
        message.deliveries += 1
        tag = next(self._tags)
        self.unacked[tag] = message
        return tag

    def ack(self, tag: int) -> None:
        del self.unacked[tag]

    def reject(self, tag: int) -> None:
        self._dead_letter(self.unacked.pop(tag), "rejected")

    def take_back(self, tag: int) -> None:
        """Close the consumer's channel: its message returns, unless it is over the delivery limit."""
        message = self.unacked.pop(tag, None)
        if message is None:
            return
        if message.deliveries > DELIVERY_LIMIT:
            self._dead_letter(message, "delivery_limit")
        else:
            self.work.insert(0, message)

    def take_back_dead(self, tag: int) -> None:
        message = self.unacked.pop(tag, None)
        if message is not None:
            self.dead.insert(0, message)

    # --- what happens inside ---

    def end_wait(self, message: Message) -> None:
        """End a lane's TTL: the message returns to the work queue."""
        self.waiting.remove(message)
        _record_death(message, f"darkroom.retry.{message.headers[LANE_HEADER]}.v1", "expired")
        message.deliveries = 0
        self.work.append(message)

    def _dead_letter(self, message: Message, reason: str) -> None:
        _record_death(message, work_queue(MODEL), reason)
        self.dead.append(message)

    def lose_everything(self) -> None:
        """Lose the data folder, and the messages that consumers hold, whose acks are stale."""
        self.lost |= self.keys()
        for queue in (self.work, self.waiting, self.dead):
            queue.clear()
        self.unacked.clear()

    def lose(self, message: Message) -> None:
        """Lose a single message of the work queue or of a lane."""
        (self.work if message in self.work else self.waiting).remove(message)
        self.lost.add(message.key)

    def keys(self) -> set[Key | None]:
        """Return the jobs and generations of all messages."""
        return {message.key for message in (*self.work, *self.waiting, *self.dead, *self.unacked.values())}


def in_order(messages: list[Message]) -> list[Message]:
    """In an order that does not depend on who was faster, so that a run can be repeated."""
    return sorted(messages, key=lambda message: (str(message.key), message.deliveries))


def _record_death(message: Message, queue: str, reason: str) -> None:
    """As RabbitMQ does: the newest entry first, one for each queue and reason, with a count."""
    deaths: list[dict[str, Any]] = message.headers.setdefault("x-death", [])
    entry = next((death for death in deaths if (death["queue"], death["reason"]) == (queue, reason)), None)
    if entry:
        deaths.remove(entry)
        entry["count"] += 1
    else:
        entry = {"queue": queue, "reason": reason, "count": 1, "exchange": message.exchange, "routing-keys": [MODEL]}
    deaths.insert(0, entry)
    message.headers.setdefault("x-first-death-queue", queue)
    message.headers.setdefault("x-first-death-reason", reason)
