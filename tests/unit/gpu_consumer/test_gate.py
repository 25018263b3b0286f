"""The gate is open while every condition holds and the worker does not drain."""

import asyncio

import pytest

from gpu_consumer.gate import Gate


def test_it_opens_when_the_last_condition_holds() -> None:
    """The gate opens when the last of its conditions holds."""
    gate = Gate("a", "b")
    gate.allow("a")
    assert not gate.is_open
    gate.allow("b")
    assert gate.is_open


async def test_it_closes_when_one_condition_fails_and_opens_again() -> None:
    """Waits for an open and for a closed gate both end in time."""
    gate = Gate("a")
    gate.allow("a")
    waiting = asyncio.create_task(gate.wait_closed())
    gate.forbid("a")
    await asyncio.wait_for(waiting, 1)
    opening = asyncio.create_task(gate.wait_open())
    gate.allow("a")
    await asyncio.wait_for(opening, 1)


def test_draining_closes_it_for_good() -> None:
    """A gate that drains stays closed."""
    gate = Gate("a")
    gate.allow("a")
    gate.drain()
    gate.allow("a")
    assert not gate.is_open
    assert gate.draining


def test_a_condition_it_does_not_know_is_a_mistake() -> None:
    """An unknown condition raises."""
    with pytest.raises(KeyError):
        Gate("a").allow("b")
