"""Single-flight: concurrent calls with the same key share one execution."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs one call at a time per key. Callers that arrive while it runs share the following call.

    A running call is not joined by default, because it may have read state from before its caller's request. With
    `join_running` it is joined, for values that may be slightly old. A canceled caller does not cancel the call.
    """

    def __init__(self, call: Callable[[K], Awaitable[V]], *, join_running: bool = False) -> None:
        self._call = call
        self._join_running = join_running
        self._running: dict[K, asyncio.Task[V]] = {}
        self._following: dict[K, asyncio.Task[V]] = {}

    async def call(self, key: K) -> V:
        """Return the result of the shared call, or raise its error."""
        return await asyncio.shield(self.start(key))

    def start(self, key: K) -> asyncio.Task[V]:
        """Return the task of the shared call without waiting for it. Callers must not cancel it."""
        if self._join_running and key in self._running:
            return self._running[key]
        following = self._following.get(key)
        if following is None:
            following = asyncio.create_task(self._call_after(self._running.get(key), key))
            following.add_done_callback(_retrieve_error)
            self._following[key] = following
        return following

    async def _call_after(self, earlier: asyncio.Task[V] | None, key: K) -> V:
        if earlier is not None:
            await asyncio.wait([earlier])
        this = self._running[key] = self._following.pop(key)
        try:
            return await self._call(key)
        finally:
            if self._running[key] is this:
                del self._running[key]


def _retrieve_error(task: asyncio.Task[V]) -> None:
    """Retrieve the error, so that asyncio does not report it when all callers were canceled."""
    if not task.cancelled():
        task.exception()
