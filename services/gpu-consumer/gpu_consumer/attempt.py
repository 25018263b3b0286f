"""One look at one message: decode, claim, render, encode, store, settle."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

import structlog

from chassis.headers import json_safe
from chassis.storage import StorageUnavailableError
from chassis.trace import trace_id
from contracts.api import JobInput, Receipt
from contracts.messages.v1 import Progress, Render, UndecodableMessageError, decode_render
from contracts.models import Model
from contracts.pictures import Origin
from gpu_consumer import failures, metrics
from gpu_consumer.gate import Gate
from gpu_consumer.lease import Interruption, Lease
from gpu_consumer.outcome import Dead, Discarded, Disposal, Outcome, Released, Stage, Succeeded
from gpu_consumer.parking import Parking
from gpu_consumer.pictures import Pictures
from gpu_consumer.progress import ProgressFeed
from gpu_consumer.render.process import RenderProcessLostError
from gpu_consumer.render.protocol import Aborted, Rendered, RenderFailed, Step
from gpu_consumer.renderer import Renderer
from gpu_consumer.settle import Settlement
from gpu_consumer.slot import Delivery
from gpu_consumer.store import Claimed, DeadLettered, Message, NotDue, Obsolete, Store, Verdict
from gpu_consumer.waiting import first_of, until_answered

T = TypeVar("T")
CLAIM_GRACE_SECONDS = 2.0
"""How long a worker that drains waits for the answer to a claim on its way."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Bench:
    """What attempts work with; all attempts of a worker share it."""

    model: Model
    gate: Gate
    store: Store
    renderer: Renderer
    pictures: Pictures
    settlement: Settlement
    parking: Parking
    progress: ProgressFeed
    heartbeat_seconds: float
    render_seconds: float
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One job at a time is stored; the next one waits for it with its render finished."""


@dataclass(frozen=True)
class Finished:
    """A render that waits to be stored."""

    wanted: JobInput
    rendered: Rendered
    receipt: Receipt


class Attempt:
    """`run` handles the message to its end; `gpu_free` is set as soon as the next one may render."""

    def __init__(self, bench: Bench, delivery: Delivery) -> None:
        self.gpu_free = asyncio.Event()
        self.lease: Lease | None = None
        self._bench = bench
        self._delivery = delivery
        self._delivered_at = time.perf_counter()

    async def run(self) -> Disposal:
        """What is to become of the message."""
        try:
            message = decode_render(self._delivery.body)
        except UndecodableMessageError as error:
            log.warning("undecodable message", reason=error.reason)
            metrics.MESSAGES.labels("undecodable").inc()
            return Disposal.REJECT
        structlog.contextvars.bind_contextvars(job_id=str(message.job_id), trace_id=trace_id(message.traceparent))
        verdict = await self._claim(message)
        metrics.MESSAGES.labels(type(verdict).__name__.lower()).inc()
        match verdict:
            case Claimed():
                return await self._carry_out(verdict)
            case NotDue(wait_ms=wait_ms):
                parked = await self._bench.parking.park(message, wait_ms)
                return Disposal.ACK if parked else Disposal.GIVE_BACK
            case DeadLettered():
                return Disposal.REJECT
            case Obsolete(reason=reason):
                log.info("nothing to do", reason=reason)
                return Disposal.ACK
            case None:
                return Disposal.GIVE_BACK

    async def _claim(self, message: Render) -> Verdict | None:
        """None when the worker drains. A claim in doubt is repeated under one token until Postgres answers."""
        if self._bench.gate.draining:
            return None
        token = uuid4()
        claiming = asyncio.create_task(until_answered(lambda: self._bench.store.claim(message, token)))
        await first_of(claiming, self._bench.gate.wait_draining())
        if not claiming.done():
            # It may have taken effect already: cut off, the job would be nobody's until its lease is over.
            await first_of(claiming, asyncio.sleep(CLAIM_GRACE_SECONDS))
        if not claiming.done():
            claiming.cancel()
            return None
        return claiming.result()

    async def _carry_out(self, claimed: Claimed) -> Disposal:
        bench = self._bench
        async with Lease(bench.store, claimed, bench.heartbeat_seconds) as self.lease:
            result = await self._guarded(Stage.RENDER, self._render(claimed, self.lease))
            self.gpu_free.set()
            async with bench.storing:
                if isinstance(result, Finished):
                    outcome = await self._guarded(Stage.STORE, self._store(claimed, result, self.lease))
                else:
                    outcome = result
                message = Message(self._delivery.body, json_safe(self._delivery.headers))
                return await bench.settlement.settle(claimed, outcome, message)

    async def _render(self, claimed: Claimed, lease: Lease) -> Finished | Outcome:
        bench = self._bench
        wanted = failures.accepted_input(claimed, bench.model)
        if isinstance(wanted, Dead):
            return wanted
        await first_of(bench.renderer.warm(), lease.wait_interrupted(), bench.gate.wait_draining())
        if lease.interruption:
            return lease.interruption.outcome()
        if bench.gate.draining:
            return Released()
        receipt = bench.renderer.receipt(wanted)  # now, while it is warm: it may be lost right after its last answer
        try:
            answer = await self._rendered(wanted, claimed, lease)
        except RenderProcessLostError as loss:
            return failures.process_lost(loss)
        match answer:
            case Rendered():
                self._observe(answer)
                return Finished(wanted, answer, receipt)
            case RenderFailed():
                return failures.render_failed(answer, claimed)
            case Aborted():
                assert lease.interruption is not None  # nobody else aborts
                return lease.interruption.outcome()

    async def _rendered(self, wanted: JobInput, claimed: Claimed, lease: Lease) -> Rendered | Aborted | RenderFailed:
        """Render, and abort when interrupted or when it takes too long; a render that is done by then stands."""

        def on_step(step: Step) -> None:
            lease.progress(step)
            self._bench.progress.report(
                Progress(claimed.job_id, claimed.generation, claimed.attempt, step.step, step.steps)
            )

        rendering = asyncio.create_task(self._bench.renderer.render(wanted, on_step))
        try:
            await first_of(rendering, lease.wait_interrupted(), asyncio.sleep(self._bench.render_seconds))
            if not rendering.done():
                if lease.interruption is None:
                    lease.interrupt(Interruption.OVERTIME)
                log.info("aborting the render", reason=lease.interruption)
                await self._bench.renderer.abort()
            return await rendering
        finally:
            rendering.cancel()

    async def _store(self, claimed: Claimed, finished: Finished, lease: Lease) -> Outcome:
        if lease.lost:
            return Discarded()
        started = time.perf_counter()
        try:
            origin = _origin(finished)
            outputs = await self._bench.pictures.store(claimed, finished.wanted, finished.rendered.images, origin)
        except StorageUnavailableError as error:
            return failures.storage_unavailable(error)
        seconds = time.perf_counter() - started
        metrics.STORE_SECONDS.observe(seconds)
        times = {"inference_ms": round(finished.rendered.inference_ms, 1), "store_ms": round(seconds * 1000, 1)}
        return Succeeded(outputs, finished.receipt, times)

    async def _guarded(self, stage: Stage, work: Awaitable[T]) -> T | Dead:
        """A bug of ours ends in a visible outcome too."""
        try:
            return await work
        except Exception:
            log.exception("the attempt broke", stage=stage)
            return failures.bug(stage)

    def _observe(self, rendered: Rendered) -> None:
        inference_seconds = rendered.inference_ms / 1000
        metrics.RENDER_SECONDS.observe(inference_seconds)
        metrics.OVERHEAD_SECONDS.observe(time.perf_counter() - self._delivered_at - inference_seconds)


def _origin(finished: Finished) -> Origin:
    """What the pictures tell of their making."""
    receipt = finished.receipt
    return Origin(
        model_revision=receipt.model_revision,
        dtype=receipt.dtype,
        device=receipt.device,
        versions=receipt.versions,
        tiled=finished.rendered.tiled,
    )
