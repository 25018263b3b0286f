"""Batches of concurrent calls: those that come while earlier batches are on their way share the next one.

There is no artificial delay: a call that comes alone is a batch of its own, and under load the batches grow.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class Group(Generic[T, V]):
    """The calls for one item, which get one answer."""

    def __init__(self, item: T, asked_at: float) -> None:
        self.item = item
        self.asked_at = asked_at
        """When the first of them came, by the event loop's clock."""
        self._answers: list[asyncio.Future[V]] = []

    def join(self) -> asyncio.Future[V]:
        """Return a future of the answer, for one more caller."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        return answer

    def answer(self, value: V) -> None:
        """Give the value to all callers that are still there."""
        for answer in self._unanswered():
            answer.set_result(value)

    def fail(self, error: Exception) -> None:
        """Raise the error in all callers that are still there and have no answer yet."""
        for answer in self._unanswered():
            answer.set_exception(error)

    def _unanswered(self) -> list[asyncio.Future[V]]:
        return [answer for answer in self._answers if not answer.done()]


class Batcher(Generic[T, V]):
    """Collects calls into batches, and works on a bounded number of batches at once.

    A batch under way is never joined, so an answer is at least as new as its question. A caller that goes away does
    not cancel its batch.
    """

    def __init__(
        self,
        work: Callable[[list[Group[T, V]]], Awaitable[None]],
        *,
        largest: int,
        in_flight: int = 1,
        key: Callable[[T], Hashable] = lambda item: item,
    ) -> None:
        """`work` answers the groups of a batch, `largest` at the most; what it raises fails those it left unanswered.

        Items of the same `key` share a group.
        """
        self._work = work
        self._largest = largest
        self._key = key
        self._idle = in_flight
        self._waiting: dict[Hashable, Group[T, V]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()  # what a batch logs belongs to no single request

    @property
    def waiting(self) -> int:
        """Groups that no batch has taken yet."""
        return len(self._waiting)

    async def ask(self, item: T) -> V:
        """Return the answer to an item, or raise what failed its group."""
        group = self._waiting.setdefault(self._key(item), Group(item, asyncio.get_running_loop().time()))
        answer = group.join()
        if self._idle:
            self._idle -= 1
            worker = asyncio.create_task(self._run(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await answer

    def take(self, at_most: int | None = None) -> list[Group[T, V]]:
        """Remove the oldest groups from those that wait, all of them by default; the caller answers them."""
        return [self._waiting.pop(key) for key in list(islice(self._waiting, at_most))]

    async def drain(self) -> None:
        """Return when every call has its answer."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def _run(self) -> None:
        while self._waiting:
            batch = self.take(self._largest)
            try:
                await self._work(batch)
            except Exception as error:
                for group in batch:
                    group.fail(error)
        # Here, not when the task is done: a call may come in between, and no worker would take it.
        self._idle += 1
