"""Which exceptions mean that the broker is away."""

import asyncio

import pytest
from aio_pika.exceptions import (
    AMQPConnectionError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    MessageProcessError,
    ProbableAuthenticationError,
)

from chassis.broker import translated_errors
from chassis.errors import BrokerUnavailableError, UnavailableError


@pytest.mark.parametrize(
    "error",
    [
        AMQPConnectionError("refused"),
        ProbableAuthenticationError("no such user"),
        ChannelNotFoundEntity("no queue"),
        ChannelInvalidStateError("closed"),
        ConnectionResetError(),
        TimeoutError(),
        StopAsyncIteration(),
        Exception(),
    ],
    ids=repr,
)
def test_what_the_driver_raises_for_a_lost_broker_is_translated(error: Exception) -> None:
    """With the driver's error as its cause, under the root that callers catch."""
    with pytest.raises(UnavailableError) as caught, translated_errors():
        raise error
    assert type(caught.value) is BrokerUnavailableError
    assert str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("ours"), ValueError("ours"), KeyError("ours"), MessageProcessError("twice", None)], ids=repr
)
def test_an_error_of_our_own_passes_through(error: Exception) -> None:
    """A mistake of ours must not look like an outage, a RuntimeError least of all."""
    with pytest.raises(type(error)) as caught, translated_errors():
        raise error
    assert caught.value is error


async def test_a_call_that_the_driver_cancels_is_translated() -> None:
    """A connection that missed its heartbeats cancels the calls under way, though nobody canceled their task."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer.cancel()
    with pytest.raises(BrokerUnavailableError, match="heartbeats"), translated_errors():
        await answer


async def test_a_task_that_is_canceled_stays_canceled() -> None:
    """A drain must not look like an outage."""

    async def call() -> None:
        with translated_errors():
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_a_call_stays_a_timeout() -> None:
    """The one inside is the broker's, the one outside its caller's."""

    async def hang(*, inside: float | None, outside: float | None) -> None:
        async with asyncio.timeout(outside):
            with translated_errors():
                async with asyncio.timeout(inside):
                    await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await hang(inside=None, outside=0)
    with pytest.raises(BrokerUnavailableError):
        await hang(inside=0, outside=None)
