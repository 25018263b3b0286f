"""Holding on to a job: the heartbeat, and what may interrupt the work."""

import asyncio
import time
from enum import StrEnum
from types import TracebackType
from uuid import uuid4

import structlog

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.messages import RenderMessage
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Outcome, Released, Stage, failure
from gpu_consumer.job.store import Claimed, Store, Verdict
from gpu_consumer.protocol import Step
from gpu_consumer.waiting import first_of, until_answered

CONFIRM_PAUSE_SECONDS = 0.5
"""Between two tries to confirm a lease while Postgres is away."""

log = structlog.get_logger()


class Interruption(StrEnum):
    """Why a render is stopped."""

    CANCEL = "cancel"
    LEASE_LOST = "lease_lost"
    DRAIN = "drain"
    OVERTIME = "overtime"
    DEADLINE = "deadline"

    def outcome(self, step: Step | None = None) -> Outcome:
        """What is recorded for it; `step` is the last that was done."""
        match self:
            case Interruption.CANCEL:
                return Canceled()
            case Interruption.LEASE_LOST:
                return Discarded()
            case Interruption.DRAIN:
                return Released()
            case Interruption.OVERTIME:
                message = "The render took longer than this worker allows; ask for fewer steps or a smaller picture."
                return Dead(failure(JobErrorCode.RENDER_TIMEOUT, message, Stage.RENDER, step=step))
            case Interruption.DEADLINE:
                message = "The job was not rendered within its deadline_seconds."
                error = failure(JobErrorCode.DEADLINE_EXCEEDED, message, Stage.RENDER, retryable=True, step=step)
                return Expired(error)


class Lease:
    """Keeps a claimed job's lease while in use (`async with`), and collects reasons to stop.

    A heartbeat that finds the job no longer ours claims it again by the same message: Postgres may have lost the claim
    in a crash, or the lease ran out while this process was frozen. The render goes on under the fresh token.
    """

    def __init__(
        self, store: Store, claimed: Claimed, message: RenderMessage, heartbeat_seconds: float, held_since: float
    ) -> None:
        """`held_since`: when the claim was sent, by this process's time.monotonic."""
        self.claimed = claimed
        """The claim that holds now: its token fences the next write."""
        self.interruption: Interruption | None = None
        self.verdict: Verdict | None = None
        """Once the lease is lost: what there is to do about the message."""
        self._store = store
        self._message = message
        self._heartbeat_seconds = heartbeat_seconds
        self.step: Step | None = None
        """The last that was done."""
        self.cancel_requested_at: float | None = None
        """When the cancel was asked for, by this process's time.perf_counter."""
        self._held_at = held_since
        """When the latest write that found the job ours was sent."""
        self._beaten = asyncio.Event()
        self._rendered = False
        self._hurry = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._resting = False
        self._keeping: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "Lease":
        self._keeping = asyncio.create_task(self._keep())
        if self.claimed.deadline_seconds is not None:
            # By this process's monotonic clock: the database's and ours may differ.
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
        """Put the step on the job's record with the next heartbeat; the first one at once: the attempt counts now."""
        begins = self.step is None
        self.step = step
        if begins:
            self.hurry()

    def hurry(self) -> None:
        """Beat now: a cancel may be waiting."""
        self._hurry.set()

    def interrupt(self, reason: Interruption) -> None:
        """The first reason stands, but for a lost lease, which leaves nothing to decide."""
        if self.interruption is None or reason == Interruption.LEASE_LOST:
            self.interruption = reason
        self._interrupted.set()

    @property
    def lost(self) -> bool:
        """Whether the job is known to be no longer ours."""
        return self.interruption == Interruption.LEASE_LOST

    async def wait_interrupted(self) -> None:
        await self._interrupted.wait()

    @property
    def fresh(self) -> bool:
        """Whether no other worker can have the job yet: it was ours less than one lease ago."""
        return time.monotonic() - self._held_at < self._store.lease_seconds

    async def confirm(self) -> None:
        """Return once the job is known to be ours, or once there is a reason to stop. Postgres may be away."""
        while not (self.fresh or self.interruption):
            self._beaten.clear()
            self.hurry()
            await first_of(self._beaten.wait(), self.wait_interrupted())
            if not self.fresh:
                await first_of(self.wait_interrupted(), asyncio.sleep(CONFIRM_PAUSE_SECONDS))

    async def keep_rendered(self) -> bool:
        """Hold the job of a finished render, which no passed time may take away; whether it is held."""
        self._rendered = True
        if self.lost:
            self.interruption = None
            self._interrupted.clear()
            await self._claim_again()
        return not self.lost

    async def rest(self) -> None:
        """Stop beating, once a beat under way is through: two writes must not cross, each claiming the job again."""
        assert self._keeping is not None
        self._resting = True
        self.hurry()
        await asyncio.wait([self._keeping])

    async def beat(self) -> None:
        """Extend the lease once. Postgres being away interrupts nothing: every write is fenced."""
        step, steps = (self.step.step, self.step.steps) if self.step else (None, None)
        sent_at = time.monotonic()
        try:
            answer = await self._store.heartbeat(self.claimed, step, steps)
        except (DatabaseUnavailableError, DatabaseBusyError, TransactionClashError) as error:
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
        verdict = await until_answered(lambda: self._store.claim(self._message, token, rendered=self._rendered))
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
            if not self.lost:
                await self.beat()
            self._beaten.set()
