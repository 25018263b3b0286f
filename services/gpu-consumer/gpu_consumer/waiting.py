"""Waiting for the first of several things, and for Postgres."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError

T = TypeVar("T")
LONGEST_PAUSE_SECONDS = 2.0

log = structlog.get_logger()


async def first_of(*awaitables: Awaitable[Any]) -> None:
    """Return when one of them is done. Coroutines that are not done then are canceled, futures and tasks go on."""
    waits = [asyncio.ensure_future(awaitable) for awaitable in awaitables]  # futures and tasks stay themselves
    started = [wait for wait, awaitable in zip(waits, awaitables, strict=True) if wait is not awaitable]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in started:
            task.cancel()


async def until_answered(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat the operation, which must be safe to repeat, until Postgres answers."""
    pause = 0.05
    while True:
        try:
            return await operation()
        except (DatabaseUnavailableError, DatabaseBusyError, TransactionClashError) as error:
            log.warning("waiting for the database", error=str(error), retry_seconds=round(pause, 2))
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
