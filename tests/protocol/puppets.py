"""Stand-ins for what a worker's code works with: the GPU, S3, Postgres' answers and its channels to RabbitMQ."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import Enum, auto
from typing import Any
from uuid import UUID

import structlog

from chassis.errors import StorageUnavailableError
from darkroom_contracts.api import JobInput
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.objects import StoredOutput
from darkroom_contracts.topology import Topology
from gpu_consumer.gate import Gate
from gpu_consumer.job.lease import Lease
from gpu_consumer.job.outcome import Finished
from gpu_consumer.job.outcome import Outcome as JobOutcome
from gpu_consumer.job.store import JobStore
from gpu_consumer.job.storing import Storing
from gpu_consumer.job.verdict import Claimed
from gpu_consumer.protocol import Aborted, FailureKind, Outcome, Ready, RenderedImage, RenderFailed, Size, Step
from gpu_consumer.renderer.loss import Loss
from gpu_consumer.renderer.process import OnPicture, OnStep, RenderProcessLostError
from gpu_consumer.usage import Usage
from gpu_consumer.waiting import first_of
from tests.protocol.broker import Broker, Message
from tests.protocol.snapshot import Key
from tests.protocol.strings import Strings
from tests.support.models import picture, ready, rendered

READY = ready()
IMAGE = RenderedImage(64, 64, 7, b"")
NO_LEASE = UUID(int=0)
"""The token of a statement that needs no lease."""


class Ending(Enum):
    """How a render ends."""

    DONE = auto()
    ABORTED = auto()
    TRANSIENT = auto()
    PERMANENT = auto()
    SUSPECT = auto()
    FATAL = auto()
    LOST = auto()


FAILURES = {
    Ending.TRANSIENT: RenderFailed(JobErrorCode.OUT_OF_MEMORY, "no memory", FailureKind.TRANSIENT),
    Ending.PERMANENT: RenderFailed(JobErrorCode.UNSAFE_OUTPUT, "no picture", FailureKind.PERMANENT),
    Ending.SUSPECT: RenderFailed(JobErrorCode.PIPELINE_ERROR, "no picture", FailureKind.PERMANENT),
    Ending.FATAL: RenderFailed(JobErrorCode.PIPELINE_ERROR, "no device", FailureKind.FATAL),
}


def _job_at_hand() -> Key:
    """Whose attempt this is, as its logs have it, which don't tell the generation."""
    return UUID(structlog.contextvars.get_contextvars()["job_id"]), 0


class PuppetProcess:
    """gpu_consumer.renderer.process.RenderProcess, without a process."""

    warm_sizes = (Size(64, 64),)
    last_lines = ("a line",)

    def __init__(self, strings: Strings) -> None:
        self.ready: Ready | None = READY
        self.told_to_abort = False
        self._strings = strings

    async def render(self, wanted: JobInput, on_step: OnStep, *, on_picture: OnPicture, **_: object) -> Outcome:
        self.told_to_abort = False
        on_step(Step(1, 1))  # the only one: what follows is the decode
        ending = await self._strings.pause("render", _job_at_hand())
        if ending in (Ending.FATAL, Ending.LOST):
            self.ready = None
        if ending is Ending.LOST:
            raise RenderProcessLostError(Loss("SIGKILL", "SIGKILL"), Step(1, 1), ())
        if ending is Ending.ABORTED:
            return Aborted(1)
        if ending in FAILURES:
            return FAILURES[ending]
        on_picture(picture(IMAGE))
        return rendered()

    async def abort(self) -> None:
        self.told_to_abort = True

    async def condemn(self, loss: Loss) -> None:
        self.ready = None


class PuppetPictures:
    """gpu_consumer.pictures.pictures.Pictures, without pixels. Each attempt's picture has a name of its own."""

    def __init__(self, strings: Strings, objects: set[str]) -> None:
        self.lease: Lease | None = None
        """The lease under which the next pictures are stored."""
        self._strings = strings
        self._objects = objects

    async def store(self, job_id: UUID, model: str, wanted: JobInput, *_: object) -> tuple[StoredOutput, ...]:
        assert self.lease is not None
        claimed = self.lease.claimed
        if not await self._strings.pause("upload", (claimed.job_id, claimed.generation)):
            raise StorageUnavailableError
        key = f"jobs/{job_id}/0-{claimed.token.hex}.png"
        self._objects.add(key)
        return (StoredOutput(0, key, "image/png", 64, 64, 1, claimed.token.hex, 7),)


class PuppetStoring(Storing):
    """The real step; it passes its lease to the puppet of a bucket, whose pictures are named by the lease's token."""

    def __init__(self, pictures: PuppetPictures) -> None:
        super().__init__(pictures, Usage(), head_start_seconds=0)
        self._puppet = pictures

    async def store(self, lease: Lease, finished: Finished) -> JobOutcome:
        self._puppet.lease = lease
        return await super().store(lease, finished)


class PuppetStore:
    """The real JobStore; the test decides when each statement runs and whether its answer is heard."""

    def __init__(self, strings: Strings, store: JobStore) -> None:
        self._strings = strings
        self._store = store

    @property
    def lease_seconds(self) -> float:
        return self._store.lease_seconds

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Any:
        kind, key = "rendered claim" if rendered else "claim", (message.job_id, message.generation)
        return await self._strings.ask(kind, key, token, lambda: self._store.claim(message, token, rendered=rendered))

    async def look(self, message: RenderMessage) -> Any:
        key = message.job_id, message.generation
        return await self._strings.ask("look", key, NO_LEASE, lambda: self._store.look(message))

    async def note_parked(self, message: RenderMessage, wait: timedelta) -> None:
        key = message.job_id, message.generation
        await self._strings.ask("note", key, NO_LEASE, lambda: self._store.note_parked(message, wait))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Everything else is a write of a holder: heartbeat, succeed, fail, cancel, expire, retry, release."""
        kind = "heartbeat" if name == "heartbeat" else "settle"

        async def write(claimed: Claimed, *values: Any) -> Any:
            statement = getattr(self._store, name)
            key = claimed.job_id, claimed.generation
            return await self._strings.ask(kind, key, claimed.token, lambda: statement(claimed, *values))

        return write


class PuppetLine:
    """A worker's connection to the modelled broker, and the line that it is called on for a message."""

    def __init__(self, strings: Strings, broker: Broker) -> None:
        self.strings = strings
        self.broker = broker
        self.listening: asyncio.Future[PuppetDelivery] | None = None
        self.held: list[PuppetDelivery] = []
        self.at_hand: list[PuppetDelivery] = []
        """What the worker has not disposed of, whether or not the channel that it came by is there."""

    async def declare(self, topology: Topology) -> None:
        await self.broker.declare(topology)

    def deliver(self, message: Message) -> None:
        assert self.listening is not None
        self.listening.set_result(self.hand_over(message))
        self.listening = None  # one message, and its subscription is canceled

    def hand_over(self, message: Message) -> "PuppetDelivery":
        delivery = PuppetDelivery(self, self.broker.deliver(message), message)
        self.held.append(delivery)
        self.at_hand.append(delivery)
        return delivery

    def lose(self, delivery: "PuppetDelivery") -> None:
        """Close the delivery's channel: the broker takes the message back, unnoticed by the worker."""
        self.held.remove(delivery)
        self.broker.take_back(delivery.tag)

    def hold_nothing(self) -> None:
        """Return the broker without its data: every previous channel is closed."""
        self.held.clear()

    def lose_all(self) -> None:
        for delivery in list(self.held):
            self.lose(delivery)


class PuppetDelivery:
    """chassis.consuming.Delivery. What is said of a message after its channel was lost goes unheard."""

    def __init__(self, line: PuppetLine, tag: int, message: Message) -> None:
        self.tag = tag
        self.body = message.body
        self.key = message.key
        self.headers = dict(message.headers)
        self._line = line

    async def ack(self) -> bool:
        return await self._dispose("ack", self._line.broker.ack)

    async def reject(self) -> bool:
        return await self._dispose("reject", self._line.broker.reject)

    async def _dispose(self, name: str, how: Callable[[int], None]) -> bool:
        """Whether it was heard."""
        await self._line.strings.pause(name, self.key)
        self._line.at_hand.remove(self)
        if self not in self._line.held:
            return False
        self._line.held.remove(self)
        how(self.tag)
        return True


class PuppetSlot:
    """gpu_consumer.worker.slot.Slot: subscribes for one message, or fetches one that waits, and holds it."""

    def __init__(self, line: PuppetLine) -> None:
        self._line = line
        self._delivery: PuppetDelivery | None = None

    async def fetch(self) -> PuppetDelivery | None:
        self._delivery = await self._line.strings.pause("fetch")
        return self._delivery

    async def take(self, gate: Gate) -> PuppetDelivery | None:
        self._line.listening = arrival = asyncio.get_running_loop().create_future()
        await first_of(arrival, gate.wait_closed())
        self._line.listening = None
        self._delivery = arrival.result() if arrival.done() and not arrival.cancelled() else None
        return self._delivery

    async def close(self) -> None:
        if self._delivery in self._line.at_hand:
            self._line.at_hand.remove(self._delivery)
        if self._delivery in self._line.held:
            self._line.lose(self._delivery)
