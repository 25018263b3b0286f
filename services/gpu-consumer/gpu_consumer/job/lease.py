"""The lease of a claimed job: heartbeats, and reasons to stop the render."""

import asyncio
import time
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID, uuid4

import structlog

from chassis.errors import TransientDatabaseError
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.messages import RenderMessage
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Outcome, Released, failure
from gpu_consumer.job.store import Beat
from gpu_consumer.job.verdict import Claimed, Refusal, Verdict
from gpu_consumer.protocol import Step
from gpu_consumer.waiting import first_of, until_answered

CONFIRM_PAUSE_SECONDS = 0.5
"""Pause between two tries to confirm a lease while Postgres is away."""

log = structlog.get_logger()


class Interruption(StrEnum):
    """Why a render is stopped."""

    CANCEL = "cancel"
    LEASE_LOST = "lease_lost"
    DRAIN = "drain"
    OVERTIME = "overtime"
    DEADLINE = "deadline"

    def outcome(self, step: Step | None = None) -> Outcome:
        """Return the outcome of a render that was stopped. `step` is the last one done."""
        match self:
            case Interruption.CANCEL:
                return Canceled()
            case Interruption.LEASE_LOST:
                return Discarded()
            case Interruption.DRAIN:
                return Released()
            case Interruption.OVERTIME:
                message = "The render took longer than this worker allows. Ask for fewer steps or a smaller picture."
                return Dead(failure(JobErrorCode.RENDER_TIMEOUT, message, Stage.RENDER, step=step))
            case Interruption.DEADLINE:
                message = "The job was not rendered within its deadline_seconds."
                error = failure(JobErrorCode.DEADLINE_EXCEEDED, message, Stage.RENDER, retryable=True, step=step)
                return Expired(error)


class Holding(Protocol):
    """What a lease needs of the job's store."""

    @property
    def lease_seconds(self) -> float: ...
    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict: ...
    async def heartbeat(self, claimed: Claimed, step: int | None, steps: int | None) -> Beat | None: ...


class Lease:
    """Keeps a claimed job's lease while it is open (`async with`), and collects reasons to stop.

    A heartbeat that finds the job not held claims it again by the same message: Postgres may have lost the claim in a
    crash, or the lease ran out while this process was frozen. The render goes on under the fresh token.
    """

    def __init__(
        self, store: Holding, claimed: Claimed, message: RenderMessage, heartbeat_seconds: float, held_since: float
    ) -> None:
        """`held_since`: when the claim was sent, by this process's time.monotonic."""
        self.message = message
        self.claimed = claimed
        """The claim that holds now: its token fences the next write."""
        self.interruption: Interruption | None = None
        self.verdict: Refusal | None = None
        """The verdict on the message, once the lease is lost."""
        self.step: Step | None = None
        """The last step done."""
        self.cancel_requested_at: float | None = None
        """When the cancel was requested, by this process's time.perf_counter."""
        self._store = store
        self._heartbeat_seconds = heartbeat_seconds
        self._held_at = held_since
        """When the latest write that found the job held was sent."""
        self._beaten = asyncio.Event()
        self._rendered = False
        self._writing = asyncio.Lock()
        """Held by a heartbeat and by a claim made again: two that cross could both claim the job."""
        self._hurry = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._resting = False
        self._keeping: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep())
        if self.claimed.deadline_seconds is not None:
            # By this process's monotonic clock: it may differ from the database's.
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self.claimed.deadline_seconds, self.interrupt, Interruption.DEADLINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        if self._deadline is not None:
            self._deadline.cancel()
        self._keeping.cancel()
        await asyncio.wait([self._keeping])

    def progress(self, step: Step) -> None:
        """Record the step with the next heartbeat. The first step is recorded at once: the attempt counts from now."""
        begins = self.step is None
        self.step = step
        if begins:
            self.hurry()

    def hurry(self) -> None:
        """Send a heartbeat now: a cancel may have been requested."""
        self._hurry.set()

    def interrupt(self, reason: Interruption) -> None:
        """Stop the render. The first reason stands, but a lost lease replaces any other."""
        if self.interruption is None or reason == Interruption.LEASE_LOST:
            self.interruption = reason
        self._interrupted.set()

    @property
    def lost(self) -> bool:
        """Whether the job is known to be another's, or nobody's."""
        return self.interruption == Interruption.LEASE_LOST

    async def wait_interrupted(self) -> None:
        """Wait for a reason to stop."""
        await self._interrupted.wait()

    @property
    def fresh(self) -> bool:
        """Whether no other worker can hold the job yet: it was held less than one lease ago."""
        return time.monotonic() - self._held_at < self._store.lease_seconds

    async def confirm(self) -> None:
        """Wait until the lease is fresh, or until there is a reason to stop. Postgres may be away."""
        while not (self.fresh or self.interruption):
            self._beaten.clear()
            self.hurry()
            await first_of(self._beaten.wait(), self.wait_interrupted())
            if not self.fresh:
                await first_of(self.wait_interrupted(), asyncio.sleep(CONFIRM_PAUSE_SECONDS))

    async def keep_rendered(self) -> bool:
        """Keep the job of a finished render: time and pauses don't take it away any more. Return whether it is held."""
        self._rendered = True
        async with self._writing:
            if self.lost:
                self.interruption = None
                self._interrupted.clear()
                await self._claim_again()
        return not self.lost

    async def rest(self) -> None:
        """Stop the heartbeats, after the one under way: it and a settle could both claim the job again."""
        assert self._keeping is not None
        self._resting = True
        self.hurry()
        await asyncio.wait([self._keeping])

    async def beat(self) -> None:
        """Extend the lease once. A database that is away interrupts nothing: every write is fenced."""
        step, steps = (self.step.step, self.step.steps) if self.step else (None, None)
        sent_at = time.monotonic()
        try:
            answer = await self._store.heartbeat(self.claimed, step, steps)
        except TransientDatabaseError as error:
            log.warning("heartbeat failed", error=str(error))
            return
        if answer is None:
            await self._claim_again()
            return
        self._held_at = sent_at
        if answer.cancel_requested:
            self.cancel_requested_at = time.perf_counter() - answer.cancel_age_seconds
            self.interrupt(Interruption.CANCEL)

    async def _claim_again(self) -> None:
        token, sent_at = uuid4(), time.monotonic()
        verdict = await until_answered(lambda: self._store.claim(self.message, token, rendered=self._rendered))
        if isinstance(verdict, Claimed):
            log.warning("the job was claimed again", attempt=verdict.attempt)
            self.claimed, self._held_at = verdict, sent_at
        else:
            self.verdict = verdict
            self.interrupt(Interruption.LEASE_LOST)

    async def _keep(self) -> None:
        while True:
            await first_of(self._hurry.wait(), asyncio.sleep(self._heartbeat_seconds))
            self._hurry.clear()
            if self._resting:
                return
            await self._beat_if_held()
            self._beaten.set()

    async def _beat_if_held(self) -> None:
        """Beat. A bug must not end the heartbeats of a job that goes on."""
        async with self._writing:
            try:
                if not self.lost:
                    await self.beat()
            except Exception:
                log.exception("the heartbeat broke")
