"""Exponential backoff."""

import asyncio

import pytest

from chassis.backoff import Backoff, retry

PROMPT = Backoff(first=0.001, longest=0.002)


class Flaky:
    """Raises the given errors, then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.reported: list[tuple[Exception, float]] = []

    async def call(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    def report(self, error: Exception, pause: float) -> None:
        self.reported.append((error, pause))


def test_pauses_double_up_to_a_bound() -> None:
    """Without jitter each pause is twice the last one, up to the longest."""
    backoff = Backoff(first=0.5, longest=3, jitter=0)
    assert [backoff.pause(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1, 2, 3, 3, 3]


def test_jitter_only_shortens_a_pause() -> None:
    """Jitter shortens a pause at random, by at most its share."""
    pauses = {Backoff(first=1, longest=8, jitter=0.25).pause(3) for _ in range(200)}
    assert len(pauses) > 100
    assert 3 <= min(pauses) < 3.2
    assert 3.8 < max(pauses) <= 4


async def test_an_operation_is_repeated_until_it_returns() -> None:
    """An operation is retried until it returns, and each failure is reported with the next pause."""
    flaky = Flaky(OSError(1), OSError(2))
    assert await retry(flaky.call, on=OSError, backoff=PROMPT, report=flaky.report) == "done"
    assert flaky.calls == 3
    assert [error.args for error, _ in flaky.reported] == [(1,), (2,)]
    assert 0.0005 <= flaky.reported[0][1] <= 0.001 <= flaky.reported[1][1] <= 0.002


async def test_the_last_try_raises() -> None:
    """The last of a limited number of tries raises its error, which is not reported."""
    flaky = Flaky(OSError(1), OSError(2), OSError(3))
    with pytest.raises(OSError, match="2"):
        await retry(flaky.call, on=OSError, backoff=PROMPT, report=flaky.report, tries=2)
    assert (flaky.calls, len(flaky.reported)) == (2, 1)


async def test_an_error_that_is_not_named_is_not_retried() -> None:
    """An error of another class, or a cancellation, is raised at once."""
    for error in (ValueError(), asyncio.CancelledError()):
        flaky = Flaky(error)  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            await retry(flaky.call, on=OSError, backoff=PROMPT, report=flaky.report)
        assert flaky.calls == 1
