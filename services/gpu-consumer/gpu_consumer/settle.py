"""Acts on an attempt's outcome: one fenced transaction, then what becomes of the message."""

import structlog

from contracts.topology import Lanes
from gpu_consumer import metrics
from gpu_consumer.outcome import Canceled, Dead, Discarded, Disposal, Outcome, Released, Retry, Succeeded
from gpu_consumer.store import Claimed, Message, Store
from gpu_consumer.waiting import until_answered

log = structlog.get_logger()


class Settlement:
    """Records outcomes, however long Postgres is away."""

    def __init__(self, store: Store, lanes: Lanes) -> None:
        self._store = store
        self._lanes = lanes

    async def settle(self, claimed: Claimed, outcome: Outcome, message: Message) -> Disposal:
        """Record the outcome. A job that is no longer ours is left alone, and so are its objects."""
        with metrics.PHASE_SECONDS.labels(metrics.Phase.SETTLE).time():
            status = await until_answered(lambda: self._record(claimed, outcome, message))
        metrics.ATTEMPTS.labels(_label(outcome) if status else "discarded").inc()
        log.info("attempt ended", outcome=_label(outcome), job_status=status, attempt=claimed.attempt)
        return Disposal.REJECT if status == "failed" else Disposal.ACK

    async def _record(self, claimed: Claimed, outcome: Outcome, message: Message) -> str | None:
        """The status that the job came to, or None when it was not ours."""
        match outcome:
            case Succeeded():
                return "succeeded" if await self._store.succeed(claimed, outcome) else None
            case Dead(error=error, detail=detail):
                return "failed" if await self._store.fail(claimed, error, detail, message) else None
            case Canceled():
                return "canceled" if await self._store.cancel(claimed) else None
            case Retry(error=error, detail=detail):
                lane = self._lanes.after(claimed.attempt)
                return await self._store.retry(claimed, error, detail, lane, message)
            case Released():
                return await self._store.release(claimed)
            case Discarded():
                return None


def _label(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()
