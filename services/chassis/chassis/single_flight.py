"""Single-flight calls: those for the same key that come together are one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Makes one call at a time for each key; whoever comes while it runs shares the one that follows.

    A call under way is never joined: it may have looked before its new caller's reason to call arose. A caller that
    goes away does not cancel the call.
    """

    def __init__(self, call: Callable[[K], Awaitable[V]]) -> None:
        self._call = call
        self._running: dict[K, asyncio.Task[V]] = {}
        self._following: dict[K, asyncio.Task[V]] = {}

    async def call(self, key: K) -> V:
        """Return or raise what a call that began after this one did returns or raises."""
        following = self._following.get(key)
        if following is None:
            following = asyncio.create_task(self._call_after(self._running.get(key), key))
            following.add_done_callback(_heed)
            self._following[key] = following
        return await asyncio.shield(following)

    async def _call_after(self, earlier: asyncio.Task[V] | None, key: K) -> V:
        if earlier is not None:
            await asyncio.wait([earlier])
        this = self._running[key] = self._following.pop(key)
        try:
            return await self._call(key)
        finally:
            if self._running[key] is this:
                del self._running[key]


def _heed(task: asyncio.Task[V]) -> None:
    """Its error reaches whoever still waits for it; with nobody left it must not be reported as unheeded."""
    if not task.cancelled():
        task.exception()
