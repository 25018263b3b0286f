"""The worker's session: its row in the database, with the times at which its queue was empty."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from chassis.errors import TransientDatabaseError
from gpu_consumer.gate import DATABASE, RESUMED, Gate
from gpu_consumer.protocol import Ready
from gpu_consumer.waiting import until_answered
from gpu_consumer.worker.orders import Orders

PROOF_SECONDS = 10.0
"""How old an answer must be to prove that no message announced before it is in the queue."""

log = structlog.get_logger()


class EmptyAnswers:
    """When the queue was asked for a message and was empty: the latest time, and the latest that is old enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: deque[float] = deque()

    def note(self, asked_at: float) -> None:
        """Record the time of a question, by this process's monotonic clock, that was answered "empty"."""
        self._forget(asked_at)
        self._asked_at.append(asked_at)

    def ages(self) -> tuple[float | None, float | None]:
        """Return the ages in seconds of the latest answer and of the latest that proves something by now."""
        now = self._clock()
        self._forget(now)
        if not self._asked_at:
            return None, None
        oldest = now - self._asked_at[0]
        return now - self._asked_at[-1], oldest if oldest >= PROOF_SECONDS else None

    def _forget(self, now: float) -> None:
        """Drop the answers before the latest one that is old enough."""
        while len(self._asked_at) > 1 and now - self._asked_at[1] >= PROOF_SECONDS:
            self._asked_at.popleft()


class Sessions(Protocol):
    """What a session needs of the worker's store."""

    async def open_session(self, model: str) -> Orders: ...
    async def describe_session(self, ready: Ready, gpu_id: str | None) -> None: ...
    async def beat_session(self, empty_age: float | None, empty_before_age: float | None) -> Orders | None: ...
    async def check_jobs(self) -> None: ...
    async def end_session(self) -> None: ...


class Session:
    """One life of this worker. Every attempt of that life names it."""

    def __init__(
        self,
        store: Sessions,
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
        self._orders = Orders(paused=False, drained=False)

    async def open(self) -> None:
        """Record the session, and find out whether the model is paused."""
        self._obey(await until_answered(lambda: self._store.open_session(self._model)))
        self._gate.allow(DATABASE)

    async def run(self) -> None:
        """Repeat `run_once` until canceled."""
        while True:
            await asyncio.sleep(self._beat_seconds)
            await self.run_once()

    async def run_once(self) -> None:
        """Record that the worker lives, what it renders with, and when its queue was empty. Postgres may be away."""
        try:
            await self._describe(self._ready())
            await self._beat()
            await self._reopen()
        except TransientDatabaseError as error:
            log.warning("the session's beat failed", error=str(error))

    async def close(self) -> None:
        """Record the session's end, unless Postgres is away."""
        try:
            await self._store.end_session()
        except TransientDatabaseError as error:
            log.info("the session's end was not recorded", error=str(error))

    async def _reopen(self) -> None:
        """Open the gate that an unanswered claim has closed, once claims are answered again.

        A message that was taken after each beat would soon have used up the deliveries that the broker allows.
        """
        if not self._gate.holds(DATABASE):
            await self._store.check_jobs()
            self._gate.allow(DATABASE)

    async def _beat(self) -> None:
        orders = await self._store.beat_session(*self._empty_answers.ages())
        if orders is None:  # the next beat describes it again, too
            log.warning("the database has no such session: it was restored from a backup")
            self._described = None
            orders = await self._store.open_session(self._model)
        self._obey(orders)

    async def _describe(self, ready: Ready | None) -> None:
        if ready is not None and ready is not self._described:
            await self._store.describe_session(ready, self._gpu_id)
            self._described = ready

    def _obey(self, orders: Orders) -> None:
        """Take no messages while the model is paused or the worker is drained. Attempts under way are finished."""
        if orders.paused != self._orders.paused:
            log.info("the model is paused" if orders.paused else "the model is resumed")
        if orders.drained != self._orders.drained:
            log.info("the worker is drained" if orders.drained else "the worker is resumed")
        self._orders = orders
        if orders.paused or orders.drained:
            self._gate.forbid(RESUMED)
        else:
            self._gate.allow(RESUMED)
