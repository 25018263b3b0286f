"""Waiting for what other processes do."""

import asyncio
from collections.abc import Callable

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 120


async def until(holds: Callable[[], bool], *, seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(POLL_SECONDS)
