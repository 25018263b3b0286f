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
LONGEST_WAIT_SECONDS = 2.0
"""How long a caller waits for a look-up; then it goes on without a value."""


class Sampled(Generic[T]):
    """A value looked up when it is wanted and the last look-up has rested; one look-up runs at a time.

    A value past its rest is still answered while the next one is looked up, for as long again; then callers wait, but
    never for long.
    """

    def __init__(self, look_up: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._value: T | None = None
        self._due_at = self._stale_at = clock()
        self._looking_up: asyncio.Task[None] | None = None

    async def get(self) -> T | None:
        """None when nothing is known: the last look-up found the database away or busy, or takes long."""
        if self._looking_up is None and self._clock() >= self._due_at:
            self._looking_up = asyncio.create_task(self._refresh())
        if self._looking_up is not None and self._clock() >= self._stale_at:
            # Shared by all who wait; one that goes away, or that has waited enough, must not cancel it.
            done, _ = await asyncio.wait([self._looking_up], timeout=LONGEST_WAIT_SECONDS)
            if not done:
                return None
            for looked_up in done:
                looked_up.result()
        return self._value

    async def _refresh(self) -> None:
        started = self._clock()
        try:
            self._value = await self._look_up()
        except (DatabaseUnavailableError, DatabaseBusyError) as error:
            self._value = None
            log.warning("sample failed", error=str(error))
        finally:
            now = self._clock()
            rest = max(LEAST_REST_SECONDS, REST_FACTOR * (now - started))
            self._due_at, self._stale_at = now + rest, now + 2 * rest
            self._looking_up = None
