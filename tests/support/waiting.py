"""Waiting for something to be true, with an end."""

import asyncio
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.03


async def eventually(holds: Callable[[], bool | Awaitable[bool]], *, seconds: float = 15, what: str = "") -> None:
    """Return as soon as the condition holds; raise TimeoutError naming `what` when it does not in time."""
    try:
        async with asyncio.timeout(seconds):
            while not await _evaluate(holds):  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError as error:
        raise TimeoutError(f"not within {seconds} s: {what or holds}") from error


async def _evaluate(holds: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = holds()
    return answer if isinstance(answer, bool) else await answer
