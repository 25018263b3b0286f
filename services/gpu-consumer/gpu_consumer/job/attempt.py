"""An attempt: decode -> claim -> render -> store -> settle -> dispose."""

import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import structlog

from chassis.headers import json_safe
from chassis.trace import trace_id
from darkroom_contracts.errors import Stage
from darkroom_contracts.messages import RenderMessage, UndecodableMessageError, decode_render
from gpu_consumer.job import failures, telemetry
from gpu_consumer.job.claiming import Claiming
from gpu_consumer.job.disposing import Disposing
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.outcome import Dead, Disposal, Finished, Outcome
from gpu_consumer.job.rendering import Rendering
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.store import Letter
from gpu_consumer.job.storing import Storing
from gpu_consumer.job.turn import Turn
from gpu_consumer.job.verdict import Refusal, Settled, Unanswered

T = TypeVar("T")


class Attempt:
    """The state of one message on its way through the pipeline."""

    def __init__(self, body: bytes, headers: Mapping[str, Any], turn: Turn) -> None:
        self.body = body
        self.headers = headers
        self.turn = turn
        self.delivered_at = time.perf_counter()
        self.lease: Lease | None = None
        """Set once the job is claimed."""

    @property
    def job_id(self) -> UUID | None:
        """The claimed job."""
        return self.lease.claimed.job_id if self.lease else None

    @property
    def letter(self) -> Letter:
        """The message as a dead letter keeps it."""
        return Letter(self.body, json_safe(self.headers))

    def interrupt(self, reason: Interruption) -> None:
        """Stop the work on the claimed job, if there is one."""
        if self.lease is not None:
            self.lease.interrupt(reason)

    def hurry(self) -> None:
        """Send a heartbeat now: a cancel may have been requested."""
        if self.lease is not None:
            self.lease.hurry()


class Pipeline:
    """The steps that take a message to its end. All attempts of a worker share them."""

    def __init__(
        self,
        claiming: Claiming,
        rendering: Rendering,
        storing: Storing,
        settling: Settling,
        disposing: Disposing,
        losses: LossStreak,
    ) -> None:
        self._claiming = claiming
        self._rendering = rendering
        self._storing = storing
        self._settling = settling
        self._disposing = disposing
        self._losses = losses

    async def run(self, attempt: Attempt) -> Disposal:
        """Return what becomes of the message. The attempt's turn on the GPU ends on the way."""
        message = _decode(attempt)
        if message is None:
            return Disposal.REJECT
        claim = await self._claim(attempt, message)
        finding = await self._work(attempt, claim) if isinstance(claim, Lease) else claim
        attempt.turn.end()
        return await self._disposing.dispose(finding, message)

    async def _claim(self, attempt: Attempt, message: RenderMessage) -> Lease | Refusal | Unanswered:
        claim = await self._claiming.claim(message)
        if isinstance(claim, Lease):
            telemetry.claimed(attempt.delivered_at)
            attempt.lease = claim
        else:
            telemetry.refused(claim)
        return claim

    async def _work(self, attempt: Attempt, lease: Lease) -> Settled | Refusal:
        async with lease:
            result = await self._render(attempt, lease)
            async with self._storing.turn():
                outcome = await self._store(attempt, lease, result)
                return await self._settle(attempt, lease, outcome)

    async def _render(self, attempt: Attempt, lease: Lease) -> Finished | Outcome:
        result = await _guarded(Stage.RENDER, self._rendering.render(lease, attempt.turn))
        attempt.turn.end()
        if isinstance(result, Finished):
            self._losses.note_success()
        return result

    async def _store(self, attempt: Attempt, lease: Lease, result: Finished | Outcome) -> Outcome:
        if not isinstance(result, Finished):
            return result
        telemetry.storing(result, attempt.delivered_at)
        return await _guarded(Stage.STORE, self._storing.store(lease, result))

    async def _settle(self, attempt: Attempt, lease: Lease, outcome: Outcome) -> Settled | Refusal:
        settled = await self._settling.settle(lease, outcome, attempt.letter)
        telemetry.settled(lease.claimed, outcome, settled, attempt.delivered_at)
        if isinstance(settled, Settled):
            self._losses.note_outcome(lease.claimed, outcome)
        return settled


def _decode(attempt: Attempt) -> RenderMessage | None:
    """Return the message, or None if its body can't be decoded. The attempt's logs name its job from now on."""
    try:
        message = decode_render(attempt.body)
    except UndecodableMessageError as error:
        telemetry.undecodable(error)
        return None
    structlog.contextvars.bind_contextvars(job_id=str(message.job_id), trace_id=trace_id(message.traceparent))
    return message


async def _guarded(stage: Stage, work: Awaitable[T]) -> T | Dead:
    """Do the work. A bug ends in a visible outcome too."""
    try:
        return await work
    except Exception:
        telemetry.broke(stage)
        return failures.bug(stage)
