"""Background loops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from chassis.errors import (
    BrokerUnavailableError,
    DatabaseUnavailableError,
    StorageUnavailableError,
    TransactionClashError,
)
from chassis.loops import BACKOFF, FAILURES, Loop
from tests.support.waiting import eventually

HOUR = 3600.0


class Counting(Loop):
    """Runs a test's function in each round, and counts the rounds."""

    name = "counting"

    def __init__(self, work: Callable[[int], bool], interval: float = HOUR) -> None:
        super().__init__()
        self.interval = interval
        self.rounds = 0
        self._work = work

    async def run_once(self) -> bool:
        self.rounds += 1
        return self._work(self.rounds)

    async def reach(self, rounds: int) -> None:
        await eventually(lambda: self.rounds >= rounds, what=f"{rounds} rounds")


class Impatient(Counting):
    """Records its pauses instead of waiting."""

    def __init__(self, work: Callable[[int], bool], interval: float = HOUR) -> None:
        super().__init__(work, interval)
        self.pauses: list[tuple[float, bool]] = []

    async def _pause(self, stopping: asyncio.Task[bool], seconds: float, *, wakeable: bool) -> None:
        self.pauses.append((seconds, wakeable))
        await asyncio.sleep(0)


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[asyncio.Event]:
    """Run the loop during the context, then stop it and wait for its end."""
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


async def test_while_there_is_more_to_do_rounds_follow_at_once() -> None:
    """While rounds return True, they follow each other without a pause."""
    loop = Counting(lambda round_: round_ < 50)
    async with running(loop):
        await loop.reach(50)
    assert loop.rounds == 50


async def test_a_wake_starts_the_next_round_before_the_interval_is_over() -> None:
    """A wake during the interval starts the next round at once."""
    loop = Counting(lambda round_: False)
    async with running(loop):
        await loop.reach(1)
        loop.wake()
        await loop.reach(2)
    assert loop.rounds == 2


async def test_a_wake_during_a_round_is_not_lost() -> None:
    """A wake during a round starts another round."""

    def be_woken(round_: int) -> bool:
        if round_ == 1:
            loop.wake()
        return False

    loop = Counting(be_woken)
    async with running(loop):
        await loop.reach(2)
    assert loop.rounds == 2


async def test_the_interval_passes_between_rounds_that_found_nothing() -> None:
    """Without a wake, rounds that return False follow each other after the interval."""
    loop = Counting(lambda round_: False, interval=0.01)
    async with running(loop):
        await loop.reach(3)


async def test_a_round_under_way_is_finished_before_the_loop_ends() -> None:
    """A loop that is stopped finishes its round first."""
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(Counting):
        async def run_once(self) -> bool:
            begun.set()
            await go_on.wait()
            ended.set()
            return False

    async with running(Slow(lambda round_: False)) as stop:
        await begun.wait()
        stop.set()
        go_on.set()
    assert ended.is_set()


async def test_a_loop_that_is_stopped_does_not_wait_for_its_interval() -> None:
    """A loop that is stopped ends without waiting for its interval."""
    loop = Counting(lambda round_: False)
    async with running(loop):
        await loop.reach(1)
    assert loop.rounds == 1


async def test_failures_back_off_and_are_counted() -> None:
    """Failed rounds are counted and followed by growing, jittered pauses that a wake does not end."""

    def fail(round_: int) -> bool:
        raise RuntimeError("no luck")

    before = FAILURES.labels("counting")._value.get()
    loop = Impatient(fail)
    async with running(loop):
        await loop.reach(12)
    for failures, (seconds, wakeable) in enumerate(loop.pauses[:12], start=1):
        longest = min(BACKOFF.longest, 0.1 * 2**failures)
        assert longest / 2 <= seconds <= longest
        assert not wakeable
    assert FAILURES.labels("counting")._value.get() >= before + 12


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (BrokerUnavailableError("away"), "warning"),
        (DatabaseUnavailableError("away"), "warning"),
        (StorageUnavailableError("away"), "warning"),
        (TransactionClashError("deadlock"), "warning"),
        (RuntimeError("a bug"), "error"),
        (KeyError("a bug"), "error"),
    ],
    ids=repr,
)
async def test_an_outage_is_logged_as_a_warning_and_a_bug_with_its_traceback(error: Exception, level: str) -> None:
    """A round that fails in an outage logs one warning; a bug logs an error with its traceback."""

    def fail(round_: int) -> bool:
        raise error

    with capture_logs() as logged:
        async with running(loop := Impatient(fail)):
            await loop.reach(1)
    first = logged[0]
    assert (first["event"], first["loop"], first["log_level"]) == ("loop round failed", "counting", level)
    assert (first.get("exc_info") is error) == (level == "error")


async def test_a_success_ends_the_backing_off() -> None:
    """After a successful round the next failure's pause is short again."""

    def fail_mostly(round_: int) -> bool:
        if round_ == 6:
            return False
        raise RuntimeError("no luck")

    loop = Impatient(fail_mostly, interval=5.0)
    async with running(loop):
        await loop.reach(7)
    assert loop.pauses[4][0] >= 1.6
    assert loop.pauses[5] == (5.0, True)
    assert loop.pauses[6][0] <= 0.2


async def test_a_canceled_loop_is_no_failure() -> None:
    """A canceled loop raises CancelledError, and does not count it as a failure."""
    loop = Counting(lambda round_: False)
    task = asyncio.create_task(loop.run(asyncio.Event()))
    await loop.reach(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
