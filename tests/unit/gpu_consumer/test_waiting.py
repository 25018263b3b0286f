"""Waiting for the first of several events, and for Postgres."""

import asyncio

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from gpu_consumer.waiting import first_of, until_answered


async def test_the_first_ends_the_wait_and_coroutines_are_canceled() -> None:
    """Coroutines are canceled when the first awaitable is done; a task that was passed in goes on."""
    canceled = asyncio.Event()
    forever = asyncio.Event()

    async def endless() -> None:
        try:
            await forever.wait()
        except asyncio.CancelledError:
            canceled.set()
            raise

    task = asyncio.create_task(forever.wait())
    await first_of(asyncio.sleep(0.01), endless(), task)
    await asyncio.wait_for(canceled.wait(), 1)
    assert not task.done()
    forever.set()
    assert await task


async def test_an_operation_is_repeated_until_postgres_answers() -> None:
    """The operation is repeated after outages and clashes, and its result returned."""
    troubles: list[Exception] = [
        DatabaseUnavailableError("away"),
        DatabaseBusyError("full"),
        TransactionClashError("deadlock"),
    ]

    async def operation() -> str:
        if troubles:
            raise troubles.pop()
        return "answer"

    assert await until_answered(operation) == "answer"
