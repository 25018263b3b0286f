"""Translation of aio-pika's errors."""

import asyncio
import gc
import logging
import warnings
from threading import Thread

import pytest
from aio_pika.exceptions import (
    AMQPConnectionError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    MessageProcessError,
    ProbableAuthenticationError,
)

from chassis.broker import Broker, translated_errors
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
    """The errors of a lost broker become BrokerUnavailableError, with the driver's error as the cause."""
    with pytest.raises(UnavailableError) as caught, translated_errors():
        raise error
    assert type(caught.value) is BrokerUnavailableError
    assert str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("ours"), ValueError("ours"), KeyError("ours"), MessageProcessError("twice", None)], ids=repr
)
def test_an_error_of_our_own_passes_through(error: Exception) -> None:
    """An error that aio-pika does not raise for a lost broker, RuntimeError above all, is not translated."""
    with pytest.raises(type(error)) as caught, translated_errors():
        raise error
    assert caught.value is error


async def test_a_call_that_the_driver_cancels_is_translated() -> None:
    """CancelledError in a task that was not canceled, as aiormq raises it after missed heartbeats, is translated."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answer.cancel()
    with pytest.raises(BrokerUnavailableError, match="heartbeats"), translated_errors():
        await answer


async def test_a_task_that_is_canceled_stays_canceled() -> None:
    """CancelledError in a task that was canceled is not translated."""

    async def call() -> None:
        with translated_errors():
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_a_call_stays_a_timeout() -> None:
    """A timeout inside the context is translated, and one around it is not."""

    async def hang(*, inside: float | None, outside: float | None) -> None:
        async with asyncio.timeout(outside):
            with translated_errors():
                async with asyncio.timeout(inside):
                    await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await hang(inside=None, outside=0)
    with pytest.raises(BrokerUnavailableError):
        await hang(inside=0, outside=None)


def test_a_connection_that_never_opened_leaves_nothing_to_await(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is collected without a coroutine that nobody awaits, though its loop does not run then."""
    monkeypatch.setattr(logging.getLogger("aiormq.connection"), "disabled", True)  # pytest keeps what is logged

    async def fail() -> BrokerUnavailableError:
        try:
            await Broker("amqp://guest:guest@127.0.0.1:1/", "test").connect()
        except BrokerUnavailableError as error:  # pytest.raises would keep it
            return error
        raise AssertionError("a broker answers")

    def abandon() -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            error = runner.run(fail())
            del error  # with the frames of its traceback, which hold the connection
            gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = Thread(target=abandon)  # which has no current loop
        thread.start()
        thread.join()
    assert not [str(warning.message) for warning in caught]
