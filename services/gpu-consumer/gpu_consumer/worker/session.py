"""The worker's session: its row in the database, kept fresh, with what it knows of its queue."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from gpu_consumer.gate import DATABASE, RESUMED, Gate
from gpu_consumer.job.store import Store
from gpu_consumer.protocol import Ready
from gpu_consumer.waiting import until_answered

PROOF_SECONDS = 10.0
"""How old an answer must be to prove that what was announced before it is not in the queue."""

_UNANSWERED = (DatabaseUnavailableError, DatabaseBusyError, TransactionClashError)

log = structlog.get_logger()


class EmptyAnswers:
    """When the queue was asked for a message and had none: the latest time, and the latest that is old enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: deque[float] = deque()

    def note(self, asked_at: float) -> None:
        """Remember a question, by this process's monotonic clock, that was answered "empty"."""
        self._forget(asked_at)
        self._asked_at.append(asked_at)

    def ages(self) -> tuple[float | None, float | None]:
        """Return the ages in seconds of the latest answer and of the latest that is a proof by now."""
        now = self._clock()
        self._forget(now)
        if not self._asked_at:
            return None, None
        oldest = now - self._asked_at[0]
        return now - self._asked_at[-1], oldest if oldest >= PROOF_SECONDS else None

    def _forget(self, now: float) -> None:
        """Drop what a later answer, old enough itself, has made worthless; so the rest is bounded in time."""
        while len(self._asked_at) > 1 and now - self._asked_at[1] >= PROOF_SECONDS:
            self._asked_at.popleft()


class Session:
    """One life of this worker, named by every attempt that it makes."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        empty_answers: EmptyAnswers,
        ready: Callable[[], Ready | None],
        *,
        model: str,
        gpu_id: str | None,
        beat_seconds: float,
    ) -> None:
        self._store = store
        self._gate = gate
        self._empty_answers = empty_answers
        self._ready = ready
        self._model = model
        self._gpu_id = gpu_id
        self._beat_seconds = beat_seconds
        self._described: Ready | None = None
        self._paused: bool | None = None

    async def open(self) -> None:
        """Record the session, and learn whether the model is paused."""
        self._obey(paused=await until_answered(lambda: self._store.open_session(self._model)))
        self._gate.allow(DATABASE)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._beat_seconds)
            await self.run_once()

    async def run_once(self) -> None:
        """Show that the worker lives, what it renders on, and when its queue was empty. Postgres may be away."""
        try:
            await self._describe(self._ready())
            await self._beat()
            self._gate.allow(DATABASE)
        except _UNANSWERED as error:
            log.warning("the session's beat failed", error=str(error))

    async def close(self) -> None:
        """Record the session's end, if Postgres is there to be told."""
        try:
            await self._store.end_session()
        except _UNANSWERED as error:
            log.info("the session's end is not on record", error=str(error))

    async def _beat(self) -> None:
        paused = await self._store.beat_session(*self._empty_answers.ages())
        if paused is None:  # the next beat describes it anew, too
            log.warning("the database does not know this session, since it was restored from a backup")
            self._described = None
            paused = await self._store.open_session(self._model)
        self._obey(paused=paused)

    async def _describe(self, ready: Ready | None) -> None:
        if ready is not None and ready is not self._described:
            await self._store.describe_session(ready, self._gpu_id)
            self._described = ready

    def _obey(self, *, paused: bool) -> None:
        """Take nothing new while the model is paused; what is at hand is finished."""
        if paused == self._paused:
            return
        if paused or self._paused:
            log.info("the model is paused" if paused else "the model is not paused any more")
        self._paused = paused
        if paused:
            self._gate.forbid(RESUMED)
        else:
            self._gate.allow(RESUMED)
