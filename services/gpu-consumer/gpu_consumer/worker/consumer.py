"""Takes one message at a time and starts an attempt at it: one job renders, one is stored or claimed ahead."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

import structlog

from chassis.backoff import Backoff
from chassis.loops import Loop
from gpu_consumer import metrics
from gpu_consumer.gate import Gate
from gpu_consumer.job.attempt import Attempt
from gpu_consumer.job.lease import Interruption
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.job.turn import Turn
from gpu_consumer.metrics import WorkerState
from gpu_consumer.usage import Usage
from gpu_consumer.waiting import first_of

ABORT_SECONDS = 15.0
"""How long an aborted attempt may take to record that."""
BACKOFF = Backoff(1.0, 60.0)
"""How long a slot keeps a message whose attempt raised. Given back at once, a message would use up the deliveries that
the broker allows it within a second, and a broken worker would bury its whole queue."""

log = structlog.get_logger()


class Delivery(Protocol):
    """A message that was delivered and is not disposed of yet."""

    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, Any]: ...
    async def ack(self) -> bool: ...
    async def reject(self) -> bool: ...


class Slot(Protocol):
    """A channel that holds one message at a time."""

    async def fetch(self) -> Delivery | None: ...
    async def take(self, gate: Gate) -> Delivery | None: ...
    async def close(self) -> None: ...


class Pipeline(Protocol):
    """What takes a message to its end."""

    async def run(self, attempt: Attempt) -> Disposal: ...


class Consumer(Loop):
    """A round: wait until the gate is open and a slot is free, take a message, wait until its job is denoised.

    While a job is decoded, a message that waits may be taken and its job claimed ahead, to render as soon as the GPU is
    free. Each attempt has a task of its own, which outlives the channel that its message came through.
    """

    name = "consumer"
    interval = 0.0

    def __init__(
        self,
        pipeline: Pipeline,
        slots: Iterable[Slot],
        gate: Gate,
        usage: Usage,
        declare: Callable[[], Awaitable[None]],
        bury: Callable[[bytes, Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        """`declare` declares the queue, `bury` publishes a message to the dead letters.

        With two slots one job renders and one is stored; with a single slot nothing overlaps.
        """
        super().__init__()
        self._pipeline = pipeline
        self._gate = gate
        self._usage = usage
        self._declare = declare
        self._bury = bury
        self._declared = False
        self._breaks = 0
        """Attempts in a row that raised."""
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        self._free = deque(slots)
        self._freed = asyncio.Event()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts under way, oldest first."""
        return tuple(self._attempts.values())

    async def run_once(self) -> bool:
        """Take a message and start its attempt. Raises BrokerUnavailableError, which affects no attempt under way."""
        if not self._gate.is_open:
            metrics.STATE.state(WorkerState.CLOSED)
            await first_of(self._gate.wait_open(), self._gate.wait_draining())
        slot = await self._free_slot()
        if slot is None:
            return True
        delivery = await self._take(slot)
        if delivery is None:
            self._release(slot)
            return True
        turn = self._begin(slot, delivery)
        await first_of(turn.wait_denoised(), self._gate.wait_draining())
        return True

    async def drain(self, seconds: float) -> None:
        """Wait until all attempts have ended. After `seconds` abort them: their jobs go back to the queue."""
        metrics.STATE.state(WorkerState.DRAINING)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=seconds)
        for attempt in self.attempts:
            attempt.interrupt(Interruption.DRAIN)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=ABORT_SECONDS)
        for task in self._attempts:
            log.error("an attempt was left behind; its job goes back to the queue when its lease runs out")
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)

    def hurry(self, job_id: UUID) -> None:
        """Send a heartbeat for the job now: its cancel was requested."""
        for attempt in self.attempts:
            if attempt.job_id == job_id:
                attempt.hurry()

    async def _free_slot(self) -> Slot | None:
        """Wait for a slot that holds no message. Return None when the worker drains."""
        while not self._free and not self._gate.draining:
            self._freed.clear()
            await first_of(self._freed.wait(), self._gate.wait_draining())
        return None if self._gate.draining else self._free.popleft()

    def _release(self, slot: Slot) -> None:
        self._free.append(slot)
        self._freed.set()

    async def _take(self, slot: Slot) -> Delivery | None:
        """Return the next message, or None when the gate closes first."""
        metrics.STATE.state(WorkerState.WAITING)
        try:
            if not self._declared:
                await self._declare()
                self._declared = True
            return await self._ask(slot)
        except Exception:
            self._declared = False  # the queue may be what is missing
            self._release(slot)
            raise
        finally:
            self._usage.delivered()

    async def _ask(self, slot: Slot) -> Delivery | None:
        """While the GPU decodes, take a message only if one waits.

        A subscription would take messages from a worker that is idle.
        """
        turn = self._turn_on_gpu()
        if turn is not None and self._gate.is_open:
            waiting = await slot.fetch()
            if waiting is not None:
                return waiting
            await first_of(turn.wait_ended(), self._gate.wait_closed())
        return await slot.take(self._gate) if self._gate.is_open else None

    def _turn_on_gpu(self) -> Turn | None:
        """Return the turn that has come, or comes first."""
        return next((attempt.turn for attempt in self.attempts if not attempt.turn.has_ended), None)

    def _begin(self, slot: Slot, delivery: Delivery) -> Turn:
        metrics.STATE.state(WorkerState.RENDERING)
        attempt = Attempt(delivery.body, delivery.headers, Turn(self._turn_on_gpu()))
        task = asyncio.create_task(self._see_through(attempt, slot, delivery))
        self._attempts[task] = attempt
        task.add_done_callback(self._attempts.pop)
        return attempt.turn

    async def _see_through(self, attempt: Attempt, slot: Slot, delivery: Delivery) -> None:
        try:
            disposal = await self._pipeline.run(attempt)
            attempt.turn.end()
            await self._dispose(disposal, slot, delivery)
            self._breaks = 0
        except asyncio.CancelledError:
            await slot.close()
            raise
        except Exception:
            log.exception("the message is given back")
            await self._recover(attempt, slot)
        finally:
            attempt.turn.end()
            self._release(slot)

    async def _recover(self, attempt: Attempt, slot: Slot) -> None:
        """Give the message back after a pause, in which the other slot tries other messages."""
        attempt.turn.end()
        self._breaks += 1
        try:
            await first_of(self._gate.wait_draining(), asyncio.sleep(BACKOFF.pause(self._breaks)))
        finally:
            await slot.close()

    async def _dispose(self, disposal: Disposal, slot: Slot, delivery: Delivery) -> None:
        match disposal:
            case Disposal.ACK:
                await delivery.ack()
            case Disposal.REJECT:
                await delivery.reject()
            case Disposal.BURY:
                if not await delivery.reject():
                    await self._bury(delivery.body, delivery.headers)
            case Disposal.GIVE_BACK:
                await slot.close()
