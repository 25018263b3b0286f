"""Coalesced look-ups: under load a query carries many keys, else one, and it waits for no other."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LookUp: TypeAlias = Callable[[list[K]], Awaitable[Mapping[K, V]]]
"""Returns the values that exist, by key."""

MOST_TOGETHER = 100
"""Keys in one query; bounds how long any of them waits for the others."""
MOST_WAITING = 4096
"""Callers that may wait at once."""
PATIENCE_SECONDS = 5.0
"""How long a query may take, and how long a key may wait for its query to begin."""


class _Group(Generic[V]):
    """All who wait for one key."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.answers: list[asyncio.Future[V | None]] = []

    def settle(self, value: V | None) -> None:
        for answer in self._unanswered():
            answer.set_result(value)

    def fail(self, error: Exception) -> None:
        for answer in self._unanswered():
            answer.set_exception(error)

    def _unanswered(self) -> list[asyncio.Future[V | None]]:
        """Without those whose callers are gone."""
        return [answer for answer in self.answers if not answer.done()]


class Coalescer(Generic[K, V]):
    """Looks keys up one query at a time; whoever asks while a query runs goes with the next.

    A query under way is never joined, so that each answer is at least as new as its question. When the database does
    not answer, everybody who waits is told at once: they would only wait out the same timeout one after the other.
    """

    def __init__(self, look_up: LookUp[K, V], *, most_together: int = MOST_TOGETHER) -> None:
        self._look_up = look_up
        self._most_together = most_together
        self._waiting: dict[K, _Group[V]] = {}
        self._alone: dict[K, _Group[V]] = {}
        """Keys out of a query that failed for a reason of one of them."""
        self._callers = 0
        self._working: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()  # what a query logs is no single request's

    async def find(self, key: K) -> V | None:
        """The key's value, or None where there is none.

        Raises DatabaseBusyError when too many wait or the key's turn did not come in time, DatabaseUnavailableError,
        and what the look-up raises for this key alone. None of them is ever in doubt: a look-up only reads.
        """
        if self._callers >= MOST_WAITING:
            raise DatabaseBusyError(f"{self._callers} others wait for a look-up already.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V | None] = loop.create_future()
        if key not in self._waiting:
            self._waiting[key] = _Group(loop.time())
        self._waiting[key].answers.append(answer)
        if self._working is None:
            self._working = loop.create_task(self._work(), context=self._context.copy())
        self._callers += 1
        try:
            return await answer
        finally:
            self._callers -= 1

    async def _work(self) -> None:
        while batch := self._next_batch():
            await self._answer(batch)
        self._working = None

    def _next_batch(self) -> dict[K, _Group[V]]:
        if self._alone:
            return _take(self._alone, 1)
        oldest_allowed = asyncio.get_running_loop().time() - PATIENCE_SECONDS
        while self._waiting:
            batch = _take(self._waiting, self._most_together)
            overdue = [key for key, group in batch.items() if group.asked_at < oldest_allowed]
            late = [batch.pop(key) for key in overdue]
            _fail(late, DatabaseBusyError(f"No look-up began within {PATIENCE_SECONDS:g} s."))
            if batch:
                return batch
        return {}

    async def _answer(self, batch: dict[K, _Group[V]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await self._look_up(list(batch))
        except TimeoutError:
            self._fail_all(batch, DatabaseUnavailableError(f"no answer in {PATIENCE_SECONDS:g} s", in_doubt=False))
        except DatabaseUnavailableError as error:
            self._fail_all(batch, DatabaseUnavailableError(str(error), in_doubt=False))
        except DatabaseBusyError as error:
            self._fail_all(batch, error)
        except Exception as error:
            if len(batch) > 1:
                self._alone.update(batch)  # so that only the bad one fails
            else:
                _fail(batch.values(), error)
        else:
            for key, group in batch.items():
                group.settle(found.get(key))

    def _fail_all(self, batch: dict[K, _Group[V]], error: Exception) -> None:
        _fail([*batch.values(), *self._alone.values(), *self._waiting.values()], error)
        self._alone.clear()
        self._waiting.clear()


def _take(groups: dict[K, _Group[V]], at_most: int) -> dict[K, _Group[V]]:
    return {key: groups.pop(key) for key in list(islice(groups, at_most))}


def _fail(groups: Iterable[_Group[V]], error: Exception) -> None:
    for group in groups:
        group.fail(error)
