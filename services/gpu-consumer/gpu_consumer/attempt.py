"""One look at one message: decode, claim, render, encode, store, settle."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import structlog

from chassis.headers import json_safe
from chassis.storage import StorageUnavailableError
from chassis.trace import trace_id
from contracts.messages import RenderMessage, UndecodableMessageError, decode_render
from gpu_consumer import failures, metrics
from gpu_consumer.bench import Bench
from gpu_consumer.gate import OWN_DATABASE
from gpu_consumer.lease import Lease
from gpu_consumer.outcome import Dead, Discarded, Disposal, Outcome, Stage, Succeeded
from gpu_consumer.receipts import origin_of, receipt_of
from gpu_consumer.rendering import Finished, Rendering
from gpu_consumer.slot import Delivery
from gpu_consumer.store import (
    Claimed,
    DeadLettered,
    Foreign,
    Message,
    NotDue,
    Obsolete,
    Orphan,
    Paused,
    Verdict,
)
from gpu_consumer.waiting import first_of, until_answered

T = TypeVar("T")
CLAIM_GRACE_SECONDS = 2.0
"""How long a worker that drains waits for the answer to a claim on its way."""

FOREIGN = (
    "The queue holds messages of another database's jobs, so this worker takes none: let DARKROOM_DATABASE_URL and"
    " DARKROOM_AMQP_URL name the parts of one stack, and start it again."
)

log = structlog.get_logger()


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
                return await self._carry_out(verdict, message)
            case None:
                return Disposal.GIVE_BACK
            case refusal:
                return await self._dispose(refusal, message)

    async def _dispose(self, verdict: Verdict, message: RenderMessage) -> Disposal:
        """Act on the message of a job that is not ours."""
        match verdict:
            case NotDue(wait_ms=wait_ms):
                return await self._park(message, wait_ms)
            case Paused():
                return await self._park(message, 0)
            case DeadLettered():
                return Disposal.REJECT
            case Orphan():
                log.warning("the job is not in the database; its message goes to the dead letters")
                return Disposal.BURY
            case Foreign():
                log.error(FOREIGN)
                self._bench.gate.forbid(OWN_DATABASE, FOREIGN)
                return Disposal.GIVE_BACK
            case Obsolete(reason=reason):
                log.info("nothing to do", reason=reason)
                return Disposal.ACK
            case Claimed():
                raise AssertionError("a claimed job is ours")

    async def _park(self, message: RenderMessage, wait_ms: float) -> Disposal:
        """Let the message wait in a lane; it is acked once it lies there and its job tells so."""
        lane = await self._bench.parking.park(message, wait_ms)
        if lane is None:
            return Disposal.GIVE_BACK
        wait = timedelta(milliseconds=lane.ttl_ms)
        await until_answered(lambda: self._bench.store.note_parked(message, wait))
        return Disposal.ACK

    async def _claim(self, message: RenderMessage) -> Verdict | None:
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

    async def _carry_out(self, claimed: Claimed, message: RenderMessage) -> Disposal:
        bench = self._bench
        metrics.PHASE_SECONDS.labels(metrics.Phase.CLAIM).observe(time.perf_counter() - self._delivered_at)
        async with Lease(bench.store, claimed, message, bench.heartbeat_seconds) as self.lease:
            result = await self._guarded(Stage.RENDER, Rendering(bench, self.lease).run())
            self.gpu_free.set()
            ended_at = time.perf_counter()
            async with bench.storing:
                await bench.usage.let_next_begin(bench.head_start_seconds)
                if isinstance(result, Finished):
                    self._observe(result, ended_at)
                    outcome = await self._guarded(Stage.STORE, self._store(result, self.lease))
                else:
                    outcome = result
                return await self._settle(self.lease, outcome, message)

    async def _settle(self, lease: Lease, outcome: Outcome, message: RenderMessage) -> Disposal:
        await lease.rest()
        if lease.verdict is not None and lease.lost:
            metrics.ATTEMPTS.labels("discarded").inc()
            return await self._dispose(lease.verdict, message)
        letter = Message(self._delivery.body, json_safe(self._delivery.headers))
        settled = await self._bench.settlement.settle(lease.claimed, outcome, message, letter)
        if isinstance(settled, str):
            return Disposal.REJECT if settled == "failed" else Disposal.ACK
        return await self._dispose(settled, message)

    async def _store(self, finished: Finished, lease: Lease) -> Outcome:
        if not await lease.keep_rendered():
            return Discarded()
        wanted, rendered, ready = finished.wanted, finished.rendered, finished.ready
        started = time.perf_counter()
        try:
            outputs = await self._bench.pictures.store(
                lease.claimed, wanted, finished.images, origin_of(ready, rendered)
            )
        except StorageUnavailableError as error:
            return failures.storage_unavailable(error)
        seconds = time.perf_counter() - started
        times = {"inference_ms": round(rendered.inference_ms, 1), "store_ms": round(seconds * 1000, 1)}
        return Succeeded(outputs, receipt_of(ready, wanted, rendered, outputs), times)

    async def _guarded(self, stage: Stage, work: Awaitable[T]) -> T | Dead:
        """A bug of ours ends in a visible outcome too."""
        try:
            return await work
        except Exception:
            log.exception("the attempt broke", stage=stage)
            return failures.bug(stage)

    def _observe(self, finished: Finished, ended_at: float) -> None:
        """Its turn to be stored has come."""
        waited = finished.waited_seconds + time.perf_counter() - ended_at
        metrics.PHASE_SECONDS.labels(metrics.Phase.WAIT).observe(waited)
        metrics.OVERHEAD_SECONDS.observe(ended_at - self._delivered_at - finished.rendered.inference_ms / 1000)
