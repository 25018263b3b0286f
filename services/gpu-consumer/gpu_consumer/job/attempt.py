"""One look at one message: decode, claim, render, encode, store, settle."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import structlog

from chassis.errors import StorageUnavailableError
from chassis.headers import json_safe
from chassis.trace import trace_id
from darkroom_contracts.messages import RenderMessage, UndecodableMessageError, decode_render
from gpu_consumer import metrics
from gpu_consumer.gate import DATABASE, OWN_DATABASE
from gpu_consumer.job import failures
from gpu_consumer.job.bench import Bench
from gpu_consumer.job.lease import Lease
from gpu_consumer.job.outcome import Dead, Discarded, Disposal, Outcome, Stage, Succeeded
from gpu_consumer.job.receipts import receipt_of
from gpu_consumer.job.rendering import Finished, Rendering
from gpu_consumer.job.store import (
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
from gpu_consumer.worker.slot import Delivery

T = TypeVar("T")
CLAIM_SECONDS = 5.0
"""How long a claim may take. Then the message goes back: other workers may reach Postgres, and a message that is held
unclaimed for longer may be taken for lost."""
CLAIM_GRACE_SECONDS = 2.0
"""How long a worker that drains waits for the answer to a claim on its way."""

FOREIGN = (
    "The queue holds messages of another database's jobs, so this worker takes none: let DARKROOM_DATABASE_URL and"
    " DARKROOM_AMQP_URL name the parts of one stack, and start it again."
)

log = structlog.get_logger()


class Attempt:
    """`run` handles the message to its end.

    `denoised` is set once its last step is done and decoding begins, `gpu_free` as soon as the next job may render.
    """

    def __init__(self, bench: Bench, delivery: Delivery, turn: asyncio.Event | None = None) -> None:
        """`turn` is set once this job may render; without one it may at once."""
        self.denoised = asyncio.Event()
        self.gpu_free = asyncio.Event()
        self.lease: Lease | None = None
        self._bench = bench
        self._delivery = delivery
        self._turn = turn
        self._delivered_at = time.perf_counter()
        self._claim_sent_at = time.monotonic()

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
        """None when the worker drains, or when Postgres does not answer in time: no message is taken until it does.

        A claim in doubt is repeated under one token.
        """
        gate, token = self._bench.gate, uuid4()
        if gate.draining:
            return None
        self._claim_sent_at = time.monotonic()
        claiming = asyncio.create_task(until_answered(lambda: self._bench.store.claim(message, token)))
        await first_of(claiming, gate.wait_draining(), asyncio.sleep(CLAIM_SECONDS))
        if not claiming.done() and self._bench.gate.draining:
            # It may have taken effect already: cut off, the job would be nobody's until its lease is over.
            await first_of(claiming, asyncio.sleep(CLAIM_GRACE_SECONDS))
        if not claiming.done():
            claiming.cancel()
            gate.forbid(DATABASE, "The database does not answer claims.")
            return None
        return claiming.result()

    async def _carry_out(self, claimed: Claimed, message: RenderMessage) -> Disposal:
        bench = self._bench
        metrics.PHASE_SECONDS.labels(metrics.Phase.CLAIM).observe(time.perf_counter() - self._delivered_at)
        lease = Lease(bench.store, claimed, message, bench.heartbeat_seconds, self._claim_sent_at)
        async with lease as self.lease:
            rendering = Rendering(bench, self.lease, self._turn, self.denoised)
            result = await self._guarded(Stage.RENDER, rendering.run())
            self.gpu_free.set()
            ended_at = time.perf_counter()
            if isinstance(result, Finished):
                bench.losses.note_success()
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
            self._bench.losses.note_outcome(lease.claimed, outcome)
            return Disposal.REJECT if settled == "failed" else Disposal.ACK
        return await self._dispose(settled, message)

    async def _store(self, finished: Finished, lease: Lease) -> Outcome:
        if not await lease.keep_rendered():
            return Discarded()
        wanted, rendered, ready = finished.wanted, finished.rendered, finished.ready
        started = time.perf_counter()
        try:
            outputs = await self._bench.pictures.store(lease.claimed, wanted, finished.pictures, ready)
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
        idle_since = self._delivered_at if finished.turn_at is None else finished.turn_at
        metrics.OVERHEAD_SECONDS.observe(ended_at - idle_since - finished.rendered.inference_ms / 1000)
