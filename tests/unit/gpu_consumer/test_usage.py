"""The GPU's time by use."""

import asyncio

import pytest

from gpu_consumer.usage import PROMPT_SECONDS, Usage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def usage(clock: Clock) -> Usage:
    """Return the usage of a worker that loaded for a minute and is warm."""
    usage = Usage(clock)
    clock.now += 60
    usage.warm()
    return usage


def test_shares_of_a_minute(usage: Usage, clock: Clock) -> None:
    """After 6 s of rendering, 3 s of waiting and 1 s in between, loading counts in neither share."""
    usage.render_begins()
    clock.now += 6
    usage.render_ends()
    usage.subscribed()
    clock.now += 3
    usage.delivered()
    clock.now += 1
    assert usage.idle_share == pytest.approx(0.4)
    assert usage.overhead_share == pytest.approx(1 / 7)


def test_a_message_that_was_there_already_is_not_waited_for(usage: Usage, clock: Clock) -> None:
    """A short wait for a message counts as overhead, not as an empty queue."""
    usage.render_begins()
    clock.now += 1
    usage.render_ends()
    usage.subscribed()
    clock.now += PROMPT_SECONDS / 2
    usage.delivered()
    assert usage.overhead_share == pytest.approx(0.01 / 1.01)


def test_the_time_without_a_process_is_neither(usage: Usage, clock: Clock) -> None:
    """The time from a loss until the next process is warm counts in neither share."""
    usage.render_begins()
    clock.now += 1
    usage.lost()
    clock.now += 100
    usage.render_ends()
    usage.delivered()
    usage.warm()
    clock.now += 1
    assert usage.idle_share == pytest.approx(0.5)


def test_a_slot_that_subscribes_while_another_job_renders_is_no_wait(usage: Usage, clock: Clock) -> None:
    """A subscription or a delivery during a render changes nothing."""
    usage.render_begins()
    usage.subscribed()
    clock.now += 1
    usage.delivered()
    assert usage.idle_share == 0


async def test_what_is_not_urgent_lets_the_next_render_begin(usage: Usage) -> None:
    """Storing waits until the next render begins or the queue is empty, and only between two renders."""
    usage.render_begins()
    await usage.let_next_begin(60)
    usage.render_ends()
    waiting = asyncio.create_task(usage.let_next_begin(60))
    await asyncio.sleep(0)
    assert not waiting.done()
    usage.render_begins()
    await waiting
    usage.render_ends()
    usage.subscribed()
    await usage.let_next_begin(60)


async def test_the_next_render_is_waited_for_so_long(usage: Usage) -> None:
    """Storing waits only for a limited time."""
    usage.render_begins()
    usage.render_ends()
    await usage.let_next_begin(0.01)


def test_without_any_time_there_is_no_share() -> None:
    """The shares of a worker that was never warm are 0."""
    usage = Usage(Clock())
    assert (usage.idle_share, usage.overhead_share) == (0, 0)
