"""Single-flight calls: concurrent calls for the same key are one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Makes one call at a time for each key; callers that come while it runs share the one that follows.

    A call under way is not joined, for it may have looked before its new caller had a reason to call. With
    `join_running` it is: for values that may be somewhat old. A caller that goes away does not cancel the call.
    """

    def __init__(self, call: Callable[[K], Awaitable[V]], *, join_running: bool = False) -> None:
        self._call = call
        self._join_running = join_running
        self._running: dict[K, asyncio.Task[V]] = {}
        self._following: dict[K, asyncio.Task[V]] = {}

    async def call(self, key: K) -> V:
        """Return or raise what the shared call returns or raises."""
        return await asyncio.shield(self.start(key))

    def start(self, key: K) -> asyncio.Task[V]:
        """Return the shared call, without waiting for it. It must not be canceled."""
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
    """Keep asyncio from reporting an error as never retrieved when all callers have gone away."""
    if not task.cancelled():
        task.exception()
