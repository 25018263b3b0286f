"""Exponential backoff with jitter, so that callers that failed together do not retry together."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")

_MOST_DOUBLINGS = 64
"""Enough for any bound, without overflowing a float."""


class Backoff(msgspec.Struct, frozen=True):
    """Pauses in seconds that double with each failure in a row, from `first` to `longest`."""

    first: float
    longest: float
    jitter: float = 0.5
    """The random share of a pause, 0 to 1."""

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after the given number of failures in a row, at least 1."""
        longest = min(self.longest, self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        return longest * random.uniform(1 - self.jitter, 1)  # noqa: S311 - jitter, not a secret


async def retry(
    operation: Callable[[], Awaitable[T]],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    backoff: Backoff,
    report: Callable[[Exception, float], object],
    tries: int | None = None,
) -> T:
    """Repeat an operation, which must be safe to repeat, until it returns, and return its result.

    Only the errors in `on` are retried. Each is passed to `report` with the seconds until the next try. `tries` limits
    the number of tries; the error of the last one is raised.
    """
    failures = 0
    while True:
        try:
            return await operation()
        except on as error:
            failures += 1
            if failures == tries:
                raise
            pause = backoff.pause(failures)
            report(error, pause)
        await asyncio.sleep(pause)
