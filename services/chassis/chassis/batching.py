"""Batches of concurrent calls: calls that arrive while earlier batches run share the next one.

There is no artificial delay: a single call is a batch of its own, and batches grow with the load.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class Group(Generic[T, V]):
    """Concurrent calls for one item, which share an answer."""

    def __init__(self, item: T, asked_at: float) -> None:
        self.item = item
        self.asked_at = asked_at
        """Time of the first call, by the event loop's clock."""
        self._answers: list[asyncio.Future[V]] = []

    def join(self) -> asyncio.Future[V]:
        """Return a future of the answer for another caller."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return answer

    def answer(self, value: V) -> None:
        """Return the value to all callers that still wait."""
        for answer in self._unanswered():
            answer.set_result(value)

    def fail(self, error: Exception) -> None:
        """Raise the error in all callers that still wait."""
        for answer in self._unanswered():
            answer.set_exception(error)

    def _unanswered(self) -> list[asyncio.Future[V]]:
        return [answer for answer in self._answers if not answer.done()]


class Batcher(Generic[T, V]):
    """Collects calls into batches, and runs a bounded number of batches at once.

    A call never joins a batch that is running, so its answer is at least as new as the call. A caller that is canceled
    does not cancel its batch.
    """

    def __init__(
        self,
        work: Callable[[list[Group[T, V]]], Awaitable[None]],
        *,
        largest: int,
        in_flight: int = 1,
        key: Callable[[T], Hashable] = lambda item: item,
        singly_after: type[Exception] | tuple[()] = (),
    ) -> None:
        """Run batches of at most `largest` groups by `work`, `in_flight` of them at once.

        `work` answers every group; an error that it raises fails the groups that have no answer yet. After an error of
        the type `singly_after` the groups of the batch are run one by one, before later calls, so that only those fail
        that are at fault. Items with equal keys share a group.
        """
        self._work = work
        self._largest = largest
        self._key = key
        self._singly_after = singly_after
        self._idle = in_flight
        self._waiting: dict[Hashable, Group[T, V]] = {}
        self._single: deque[Group[T, V]] = deque()
        """Groups to run one by one, because their batch failed."""
        self._workers: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()  # what a batch logs belongs to no single request

    @property
    def waiting(self) -> int:
        """Number of groups that no batch has taken yet."""
        return len(self._waiting)

    async def ask(self, item: T) -> V:
        """Return the answer for an item, or raise the error of its group."""
        answer = self._group(item).join()
        if self._idle:
            self._idle -= 1
            worker = asyncio.create_task(self._run(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await answer

    def _group(self, item: T) -> Group[T, V]:
        key = self._key(item)
        group = self._waiting.get(key)
        if group is None:
            group = self._waiting[key] = Group(item, asyncio.get_running_loop().time())
        return group

    def take(self) -> list[Group[T, V]]:
        """Remove all groups that are not in a running batch; the caller must answer them."""
        taken = [*self._single, *self._waiting.values()]
        self._single.clear()
        self._waiting.clear()
        return taken

    async def drain(self) -> None:
        """Wait until every call has an answer."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def _run(self) -> None:
        while batch := self._next():
            try:
                await self._work(batch)
            except Exception as error:
                if len(batch) > 1 and isinstance(error, self._singly_after):
                    self._single.extend(batch)
                else:
                    for group in batch:
                        group.fail(error)
        # Here, not when the task is done: no worker would take a call that arrives in between.
        self._idle += 1

    def _next(self) -> list[Group[T, V]]:
        if self._single:
            return [self._single.popleft()]
        return [self._waiting.pop(key) for key in list(islice(self._waiting, self._largest))]
