"""Things that are made ahead of their use."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Pool(Generic[T]):
    """Keeps `size` things ready, or being made. Filling begins with the first `take`."""

    def __init__(self, make: Callable[[], Awaitable[T]], size: int) -> None:
        self._make = make
        self._room = asyncio.Semaphore(size)
        self._made: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()
        self._filling: asyncio.Task[None] | None = None

    async def take(self) -> T:
        """Return the next thing; the caller owns it. Raises what its making raised."""
        if self._filling is None:
            self._filling = asyncio.create_task(self._fill())
        making = await self._made.get()
        self._room.release()
        return await making

    async def _fill(self) -> None:
        while True:
            await self._room.acquire()
            self._made.put_nowait(asyncio.create_task(self._finished()))

    async def _finished(self) -> T:
        return await self._make()

    async def close(self) -> list[T]:
        """Stop filling, and return what nobody took."""
        if self._filling is None:
            return []
        self._filling.cancel()
        with suppress(asyncio.CancelledError):
            await self._filling
        left = [self._made.get_nowait() for _ in range(self._made.qsize())]
        made = await asyncio.gather(*left, return_exceptions=True)
        return [thing for thing in made if not isinstance(thing, BaseException)]
