"""Values that cost too much to look up for every request."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from chassis.postgres import DatabaseBusyError, DatabaseUnavailableError

log = structlog.get_logger()

T = TypeVar("T")

LEAST_REST_SECONDS = 2.0
REST_FACTOR = 20.0
"""A look-up rests for so many times what it took: its share of the database stays under 5 %, however long it takes."""
KEPT_FRESH_SECONDS = 300.0
"""How long after the last question a value is still looked up again by itself."""
LONGEST_WAIT_SECONDS = 2.0
"""How long a caller waits for a look-up; then it goes on without a value."""


class Sampled(Generic[T]):
    """Stale-while-revalidate value: single-flight refresh, at most 5 % of wall time.

    A value that was asked for lately is refreshed by itself, so few callers ever wait: those who ask after a long quiet
    spell. A value past its rest is answered while the next one is looked up, for as long again; then callers wait, but
    never for long.
    """

    def __init__(self, look_up: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._value: T | None = None
        self._due_at = self._stale_at = clock()
        self._asked_at = clock()
        self._looking_up: asyncio.Task[None] | None = None

    async def get(self) -> T | None:
        """None when nothing is known: the last look-up found the database away or busy, or takes long."""
        self._asked_at = self._clock()
        if self._clock() >= self._due_at:
            self._begin_refresh()
        if self._looking_up is not None and self._clock() >= self._stale_at:
            # Shared by all who wait; one that goes away, or that has waited enough, must not cancel it.
            done, _ = await asyncio.wait([self._looking_up], timeout=LONGEST_WAIT_SECONDS)
            if not done:
                return None
            for looked_up in done:
                looked_up.result()
        return self._value

    def _begin_refresh(self) -> None:
        if self._looking_up is None:
            self._looking_up = asyncio.create_task(self._refresh())

    def _keep_fresh(self) -> None:
        if self._clock() - self._asked_at < KEPT_FRESH_SECONDS:
            self._begin_refresh()

    async def _refresh(self) -> None:
        """One that failed is not repeated by itself: the database may be away for long."""
        started = self._clock()
        keep_fresh = True
        try:
            self._value = await self._look_up()
        except (DatabaseUnavailableError, DatabaseBusyError) as error:
            self._value = None
            keep_fresh = False
            log.warning("sample failed", error=str(error))
        finally:
            now = self._clock()
            rest = max(LEAST_REST_SECONDS, REST_FACTOR * (now - started))
            self._due_at, self._stale_at = now + rest, now + 2 * rest
            self._looking_up = None
        if keep_fresh:
            asyncio.get_running_loop().call_later(rest, self._keep_fresh)
