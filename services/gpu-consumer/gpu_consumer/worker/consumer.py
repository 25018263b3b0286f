"""Takes one message at a time and hands it to an attempt: one renders, one is stored or claimed ahead."""

import asyncio
from collections import deque
from uuid import UUID

import structlog

from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError
from chassis.loops import Loop
from darkroom_contracts.topology import Topology, work_queue
from gpu_consumer import metrics
from gpu_consumer.job.attempt import Attempt
from gpu_consumer.job.bench import Bench
from gpu_consumer.job.lease import Interruption
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.waiting import first_of
from gpu_consumer.worker.slot import Delivery, Slot

SLOTS = 2
"""One renders, one is stored. With a single slot nothing overlaps."""
ABORT_SECONDS = 15.0
"""How long an aborted attempt may take to record that."""

log = structlog.get_logger()


class Consumer(Loop):
    """A round: wait until the gate is open and a slot is free, take a message, wait until its job is denoised.

    While a job is decoded, a message that waits may be taken and its job claimed ahead, to render as soon as the GPU is
    free. An attempt has a task of its own, which outlives the channel that its message came through.
    """

    name = "consumer"
    interval = 0.0

    def __init__(self, bench: Bench, broker: Broker, topology: Topology, slots: int = SLOTS) -> None:
        super().__init__()
        self._bench = bench
        self._broker = broker
        self._topology = topology
        self._declared = False
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        self._free = deque(
            Slot(broker, work_queue(bench.model.name), bench.usage, bench.empty_answers) for _ in range(slots)
        )
        self._freed = asyncio.Event()

    async def run_once(self) -> bool:
        """Take a message and render it. Raises BrokerUnavailableError; messages at hand are not affected by that."""
        gate = self._bench.gate
        if not gate.is_open:
            metrics.STATE.state("closed")
            await first_of(gate.wait_open(), gate.wait_draining())
        slot = await self._free_slot()
        if slot is None:
            return True
        delivery = await self._take(slot)
        if delivery is None:
            self._release(slot)
            return True
        attempt = self._begin(slot, delivery)
        await first_of(attempt.denoised.wait(), attempt.gpu_free.wait(), gate.wait_draining())
        return True

    async def drain(self, seconds: float) -> None:
        """Wait until all attempts are through. After `seconds` abort them: their jobs go back to the queue."""
        metrics.STATE.state("draining")
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=seconds)
        for attempt in self._attempts.values():
            if attempt.lease is not None:
                attempt.lease.interrupt(Interruption.DRAIN)
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=ABORT_SECONDS)
        for task in self._attempts:
            log.error("an attempt is left behind; its job goes back to the queue when its lease is over")
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)

    def hurry(self, job_id: UUID) -> None:
        """A cancel of this job was asked for."""
        for attempt in self._attempts.values():
            if attempt.lease is not None and attempt.lease.claimed.job_id == job_id:
                attempt.lease.hurry()

    async def _free_slot(self) -> Slot | None:
        """Wait for a slot that holds no message; None when the worker drains."""
        gate = self._bench.gate
        while not self._free and not gate.draining:
            self._freed.clear()
            await first_of(self._freed.wait(), gate.wait_draining())
        return None if gate.draining else self._free.popleft()

    def _release(self, slot: Slot) -> None:
        self._free.append(slot)
        self._freed.set()

    async def _take(self, slot: Slot) -> Delivery | None:
        metrics.STATE.state("waiting")
        try:
            if not self._declared:
                await self._broker.declare(self._topology)
                self._declared = True
            return await self._ask(slot)
        except BrokerUnavailableError:
            self._declared = False  # the queue may be what is missing
            self._release(slot)
            raise
        finally:
            self._bench.usage.delivered()

    async def _ask(self, slot: Slot) -> Delivery | None:
        """While the GPU decodes, a message that waits; else the next one. None when the gate closed first.

        Never a subscription while the GPU is busy: it would take what comes from a worker that is idle.
        """
        gate, busy = self._bench.gate, self._on_gpu()
        if busy is not None and gate.is_open:
            waiting = await slot.fetch()
            if waiting is not None:
                return waiting
            await first_of(busy.gpu_free.wait(), gate.wait_closed())
        return await slot.take(gate) if gate.is_open else None

    def _on_gpu(self) -> Attempt | None:
        """The attempt that has the GPU, or will have it first."""
        return next((attempt for attempt in self._attempts.values() if not attempt.gpu_free.is_set()), None)

    def _begin(self, slot: Slot, delivery: Delivery) -> Attempt:
        metrics.STATE.state("rendering")
        before = self._on_gpu()
        attempt = Attempt(self._bench, delivery, before.gpu_free if before else None)
        task = asyncio.create_task(self._see_through(attempt, slot, delivery))
        self._attempts[task] = attempt
        task.add_done_callback(self._attempts.pop)
        return attempt

    async def _see_through(self, attempt: Attempt, slot: Slot, delivery: Delivery) -> None:
        disposal = Disposal.GIVE_BACK
        try:
            disposal = await attempt.run()
        except Exception:
            log.exception("the message is given back")
        finally:
            attempt.gpu_free.set()
            await self._dispose(disposal, slot, delivery)
            self._release(slot)

    async def _dispose(self, disposal: Disposal, slot: Slot, delivery: Delivery) -> None:
        match disposal:
            case Disposal.ACK:
                await delivery.ack()
            case Disposal.REJECT:
                await delivery.reject()
            case Disposal.BURY:
                if not await delivery.reject():
                    await self._bench.parking.bury(delivery.body, delivery.headers)
            case Disposal.GIVE_BACK:
                await slot.close()
