"""Acts on an attempt's outcome: one fenced transaction, repeated under a fresh claim where the old one is gone."""

from uuid import uuid4

import structlog

from darkroom_contracts.messages import RenderMessage
from darkroom_contracts.topology import Lanes
from gpu_consumer import metrics
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Outcome, Released, Retry, Succeeded
from gpu_consumer.job.store import Claimed, Message, Store, Verdict
from gpu_consumer.waiting import until_answered

log = structlog.get_logger()


class Settlement:
    """Records outcomes, however long Postgres is away."""

    def __init__(self, store: Store, lanes: Lanes) -> None:
        self._store = store
        self._lanes = lanes

    async def settle(
        self, claimed: Claimed, outcome: Outcome, message: RenderMessage, letter: Message
    ) -> str | Verdict:
        """Record the outcome: the status that the job came to or, where it is not ours, what its row says.

        A job that is another's is left alone, and so are its objects: the same bytes share a key.
        """
        with metrics.PHASE_SECONDS.labels(metrics.Phase.SETTLE).time():
            settled = await self._insist(claimed, outcome, message, letter)
        status = settled if isinstance(settled, str) else None
        metrics.ATTEMPTS.labels(_label(outcome) if status else "discarded").inc()
        log.info("attempt ended", outcome=_label(outcome), job_status=status, attempt=claimed.attempt)
        return settled

    async def _insist(
        self, claimed: Claimed, outcome: Outcome, message: RenderMessage, letter: Message
    ) -> str | Verdict:
        """Claim the job again where it is not held. Each claim spends an attempt, which bounds the rounds."""
        held: str | Verdict = claimed
        while isinstance(held, Claimed):
            claim = held
            status = await until_answered(lambda: self._record(claim, outcome, letter))  # noqa: B023 - awaited here
            held = status or await self._find_out(message, outcome)
        return held

    async def _find_out(self, message: RenderMessage, outcome: Outcome) -> Verdict:
        """A failure is never claimed again: where only its answer was lost, it would count twice."""
        if isinstance(outcome, Retry):
            return await until_answered(lambda: self._store.look(message))
        token, rendered = uuid4(), not isinstance(outcome, Released)
        return await until_answered(lambda: self._store.claim(message, token, rendered=rendered))

    async def _record(self, claimed: Claimed, outcome: Outcome, letter: Message) -> str | None:
        """The status that the job came to, or None when it was not ours."""
        match outcome:
            case Succeeded():
                return "succeeded" if await self._store.succeed(claimed, outcome) else None
            case Dead(error=error, detail=detail):
                return "failed" if await self._store.fail(claimed, error, detail, letter) else None
            case Canceled():
                return "canceled" if await self._store.cancel(claimed) else None
            case Expired(error=error):
                return "expired" if await self._store.expire(claimed, error) else None
            case Retry(error=error, detail=detail):
                lane = self._lanes.after(claimed.attempt)
                return await self._store.retry(claimed, error, detail, lane, letter)
            case Released():
                return await self._store.release(claimed)
            case Discarded():
                raise AssertionError("a lost lease leaves nothing to record")


def _label(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()
