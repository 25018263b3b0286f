"""Coalesced look-ups: concurrent look-ups of keys share a query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar

from chassis.batching import Batcher, Group
from chassis.errors import DatabaseBusyError, DatabaseUnavailableError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LookUp: TypeAlias = Callable[[list[K]], Awaitable[Mapping[K, V]]]
"""Return the existing values by key."""

MOST_TOGETHER = 100
"""Most keys in one query. Bounds how long a key waits for the others."""
MOST_WAITING = 4096
"""Most callers that may wait at once."""
PATIENCE_SECONDS = 5.0
"""Time limit of a query, and of a key's wait for its query to start."""


class Coalescer(Generic[K, V]):
    """Looks keys up one query at a time; keys that are requested while a query runs share the next.

    When the database does not answer, all waiting callers fail at once, instead of each waiting for the same timeout.
    When a query fails for another reason, its keys are looked up one by one, so that only the bad key fails.
    """

    def __init__(self, look_up: LookUp[K, V], *, most_together: int = MOST_TOGETHER) -> None:
        self._look_up = look_up
        self._batcher: Batcher[K, V | None] = Batcher(self._work, largest=most_together, singly_after=Exception)
        self._callers = 0

    async def find(self, key: K) -> V | None:
        """Return the key's value, or None if it has none.

        Raises DatabaseBusyError when too many callers wait or the query did not start in time,
        DatabaseUnavailableError with `in_doubt` False, and the error of a look-up of this key alone.
        """
        if self._callers >= MOST_WAITING:
            raise DatabaseBusyError(f"{self._callers} others wait for a look-up already.")
        self._callers += 1
        try:
            return await self._batcher.ask(key)
        finally:
            self._callers -= 1

    async def _work(self, batch: list[Group[K, V | None]]) -> None:
        oldest_allowed = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        late = [group for group in batch if group.asked_at < oldest_allowed]
        _fail(late, DatabaseBusyError(f"No look-up began within {PATIENCE_SECONDS:g} s."))
        if len(late) < len(batch):
            await self._answer([group for group in batch if group not in late])

    async def _answer(self, batch: list[Group[K, V | None]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self._look_up([group.item for group in batch])
        except TimeoutError:
            self._fail_all(batch, DatabaseUnavailableError(f"no answer in {PATIENCE_SECONDS:g} s", in_doubt=False))
        except DatabaseUnavailableError as error:
            self._fail_all(batch, DatabaseUnavailableError(str(error), in_doubt=False))
        except DatabaseBusyError as error:
            self._fail_all(batch, error)
        else:
            for group in batch:
                group.answer(found.get(group.item))

    def _fail_all(self, batch: list[Group[K, V | None]], error: Exception) -> None:
        _fail([*batch, *self._batcher.take()], error)


def _fail(groups: Iterable[Group[K, V | None]], error: Exception) -> None:
    for group in groups:
        group.fail(error)
