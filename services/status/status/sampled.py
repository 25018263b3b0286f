"""Values that cost too much to look up for every request."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError
from chassis.single_flight import SingleFlight

log = structlog.get_logger()

T = TypeVar("T")

LEAST_REST_SECONDS = 2.0
REST_FACTOR = 20.0
"""Rest after a look-up, in multiples of its duration: its share of the database's time stays under 5 %."""
KEPT_FRESH_SECONDS = 300.0
"""How long a value is refreshed by itself after it was last asked for."""
LONGEST_WAIT_SECONDS = 2.0
"""How long a caller waits for a look-up before it goes on without a value."""


class Sampled(Generic[T]):
    """Stale-while-revalidate value: single-flight refresh, at most 5 % of wall time.

    A value that was asked for lately is refreshed by itself, so few callers ever wait: those after a long quiet spell.
    A value past its rest is returned while the next one is looked up, for as long again; then callers wait, but never
    longer than LONGEST_WAIT_SECONDS.
    """

    def __init__(self, look_up: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._value: T | None = None
        self._due_at = self._stale_at = clock()
        self._asked_at = clock()
        self._refreshes = SingleFlight(self._refresh, join_running=True)

    async def get(self) -> T | None:
        """Return the value, or None when it is unknown: the database was away or busy, or the look-up takes long."""
        self._asked_at = now = self._clock()
        if now < self._due_at:
            return self._value
        refresh = self._refreshes.start(None)
        if now >= self._stale_at:
            # Shared by all who wait; a caller that goes away, or that has waited enough, must not cancel it.
            done, _ = await asyncio.wait([refresh], timeout=LONGEST_WAIT_SECONDS)
            if not done:
                return None
            refresh.result()
        return self._value

    def _keep_fresh(self) -> None:
        if self._clock() - self._asked_at < KEPT_FRESH_SECONDS:
            self._refreshes.start(None)

    async def _refresh(self, _: None) -> None:
        """Look the value up. A failure is not repeated until somebody asks: the database may be away for long."""
        started = self._clock()
        keep_fresh = True
        try:
            self._value = await self._look_up()
        except (DatabaseUnavailableError, DatabaseBusyError) as error:
            self._value = None
            keep_fresh = False
            log.warning("sample failed", error=str(error))
        except Exception:
            log.exception("sample failed")
            raise
        finally:
            now = self._clock()
            rest = max(LEAST_REST_SECONDS, REST_FACTOR * (now - started))
            self._due_at, self._stale_at = now + rest, now + 2 * rest
        if keep_fresh:
            asyncio.get_running_loop().call_later(rest, self._keep_fresh)
