"""Holding on to a job: the heartbeat, and what may interrupt the work."""

import asyncio
import time
from enum import StrEnum
from types import TracebackType

import structlog

from chassis.postgres import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from contracts.errors import JobErrorCode
from gpu_consumer.outcome import Canceled, Dead, Discarded, Outcome, Released, Stage, failure
from gpu_consumer.render.protocol import Step
from gpu_consumer.store import Claimed, Store
from gpu_consumer.waiting import first_of

log = structlog.get_logger()


class Interruption(StrEnum):
    """Why a render is stopped."""

    CANCEL = "cancel"
    LEASE_LOST = "lease_lost"
    DRAIN = "drain"
    OVERTIME = "overtime"

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


class Lease:
    """Keeps a claimed job's lease while in use (`async with`), and collects reasons to stop."""

    def __init__(self, store: Store, claimed: Claimed, heartbeat_seconds: float) -> None:
        self.claimed = claimed
        self.interruption: Interruption | None = None
        self._store = store
        self._heartbeat_seconds = heartbeat_seconds
        self.step: Step | None = None
        """The last that was done."""
        self.cancel_requested_at: float | None = None
        """When the cancel was asked for, by this process's time.perf_counter."""
        self._hurry = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Lease":
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._keeping is not None
        self._keeping.cancel()
        await asyncio.wait([self._keeping])

    def progress(self, step: Step) -> None:
        """Goes onto the job's record with the next heartbeat."""
        self.step = step

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

    async def beat(self) -> None:
        """Extend the lease once. Postgres being away interrupts nothing: every write is fenced."""
        step, steps = (self.step.step, self.step.steps) if self.step else (None, None)
        try:
            answer = await self._store.heartbeat(self.claimed, step, steps)
        except (DatabaseUnavailableError, DatabaseBusyError, TransactionClashError) as error:
            log.warning("heartbeat failed", error=str(error))
            return
        if answer is None:
            self.interrupt(Interruption.LEASE_LOST)
        elif answer.cancel_requested:
            self.cancel_requested_at = time.perf_counter() - answer.cancel_age_seconds
            self.interrupt(Interruption.CANCEL)

    async def _keep(self) -> None:
        while not self.lost:
            await first_of(self._hurry.wait(), asyncio.sleep(self._heartbeat_seconds))
            self._hurry.clear()
            await self.beat()
