"""Waiting for the first of several events, and for Postgres."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from chassis.backoff import Backoff, retry
from chassis.errors import TransientDatabaseError

T = TypeVar("T")
BACKOFF = Backoff(0.05, 2.0)

log = structlog.get_logger()


async def first_of(*awaitables: Awaitable[Any]) -> None:
    """Return when one of them is done. Coroutines that are not done then are canceled; futures and tasks go on."""
    waits = [asyncio.ensure_future(awaitable) for awaitable in awaitables]  # returns futures and tasks unchanged
    started = [wait for wait, awaitable in zip(waits, awaitables, strict=True) if wait is not awaitable]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in started:
            task.cancel()


async def until_answered(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat the operation, which must be safe to repeat, until Postgres answers."""
    return await retry(operation, on=TransientDatabaseError, backoff=BACKOFF, report=_report)


def _report(error: Exception, pause: float) -> None:
    log.warning("waiting for the database", error=str(error), retry_seconds=round(pause, 2))
