"""Turns on the GPU: one job renders at a time, in the order in which the jobs were taken."""

import asyncio


class Turn:
    """A job's turn on the GPU. It comes when the turn before it ends."""

    def __init__(self, previous: "Turn | None" = None) -> None:
        """Without a previous turn it comes at once."""
        self._denoised = asyncio.Event()
        self._ended = asyncio.Event()
        self._came: asyncio.Event | None = previous._ended if previous else None

    @property
    def has_come(self) -> bool:
        """Whether the job may render."""
        return self._came is None or self._came.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether the next job may render."""
        return self._ended.is_set()

    async def wait(self) -> None:
        """Wait until the turn comes."""
        if self._came is not None:
            await self._came.wait()

    def note_denoised(self) -> None:
        """Note that the last step is done and decoding begins: the worker may take the next message."""
        self._denoised.set()

    def end(self) -> None:
        """Let the next job render. Ending twice does no harm."""
        self._denoised.set()
        self._ended.set()

    async def wait_denoised(self) -> None:
        """Wait until the last step is done, or the turn ends."""
        await self._denoised.wait()

    async def wait_ended(self) -> None:
        """Wait until the next job may render."""
        await self._ended.wait()
