"""The step `settle`: record the outcome in one fenced transaction, under a fresh claim if the old one is gone."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID, uuid4

from darkroom_contracts.api import JobError
from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import Lane, Lanes
from gpu_consumer.job import telemetry
from gpu_consumer.job.lease import Lease
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Outcome, Released, Retry, Succeeded
from gpu_consumer.job.store import Letter
from gpu_consumer.job.verdict import Claimed, Refusal, Settled, Verdict
from gpu_consumer.waiting import until_answered


class Records(Protocol):
    """What settling needs of the job's store."""

    async def claim(self, message: RenderMessage, token: UUID, *, rendered: bool = False) -> Verdict: ...
    async def look(self, message: RenderMessage) -> Refusal: ...
    async def succeed(self, claimed: Claimed, success: Succeeded) -> JobStatus | None: ...
    async def fail(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], letter: Letter
    ) -> JobStatus | None: ...
    async def cancel(self, claimed: Claimed) -> JobStatus | None: ...
    async def expire(self, claimed: Claimed, error: JobError) -> JobStatus | None: ...
    async def retry(
        self, claimed: Claimed, error: JobError, detail: Mapping[str, Any], lane: Lane, letter: Letter
    ) -> JobStatus | None: ...
    async def release(self, claimed: Claimed) -> JobStatus | None: ...


class Settling:
    """Records outcomes, however long Postgres is away."""

    def __init__(self, store: Records, lanes: Lanes) -> None:
        self._store = store
        self._lanes = lanes

    async def settle(self, lease: Lease, outcome: Outcome, letter: Letter) -> Settled | Refusal:
        """Record the outcome. Return the verdict on the message if the job is not this worker's any more.

        The objects of a job that is another worker's stay: equal bytes share a key.
        """
        await lease.rest()
        if lease.lost and lease.verdict is not None:
            return lease.verdict
        with telemetry.settle_seconds():
            return await self._insist(lease.claimed, outcome, lease.message, letter)

    async def _insist(
        self, claimed: Claimed, outcome: Outcome, message: RenderMessage, letter: Letter
    ) -> Settled | Refusal:
        """Claim the job again while it is not held. Each claim spends an attempt, which bounds the rounds."""
        held: Verdict = claimed
        while isinstance(held, Claimed):
            claim = held
            status = await until_answered(lambda: self._record(claim, outcome, letter))  # noqa: B023 - awaited here
            if status is not None:
                return Settled(status)
            held = await self._find_out(message, outcome)
        return held

    async def _find_out(self, message: RenderMessage, outcome: Outcome) -> Verdict:
        """Claim the job again. After a failure only look: if just the answer was lost, it would count twice."""
        if isinstance(outcome, Retry):
            return await until_answered(lambda: self._store.look(message))
        token, rendered = uuid4(), not isinstance(outcome, Released)
        return await until_answered(lambda: self._store.claim(message, token, rendered=rendered))

    async def _record(self, claimed: Claimed, outcome: Outcome, letter: Letter) -> JobStatus | None:
        """Return the job's new status, or None when it was not this worker's."""
        match outcome:
            case Succeeded():
                return await self._store.succeed(claimed, outcome)
            case Dead(error=error, detail=detail):
                return await self._store.fail(claimed, error, detail, letter)
            case Canceled():
                return await self._store.cancel(claimed)
            case Expired(error=error):
                return await self._store.expire(claimed, error)
            case Retry(error=error, detail=detail):
                return await self._store.retry(claimed, error, detail, self._lanes.after(claimed.attempt), letter)
            case Released():
                return await self._store.release(claimed)
            case Discarded():
                raise AssertionError("a lost lease leaves nothing to record")
