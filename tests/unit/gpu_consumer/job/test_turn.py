"""Turns on the GPU."""

import asyncio

from gpu_consumer.job.turn import Turn


async def test_the_first_turn_comes_at_once() -> None:
    """The first turn comes at once."""
    turn = Turn()
    assert turn.has_come
    await asyncio.wait_for(turn.wait(), 1)


async def test_a_turn_comes_when_the_one_before_ends() -> None:
    """A turn comes when the one before ends, not when it is denoised."""
    first = Turn()
    second = Turn(first)
    came = []
    for event in (first.note_denoised, first.end):
        event()
        came.append(second.has_come)
    assert came == [False, True]
    await asyncio.wait_for(second.wait(), 1)


async def test_a_turn_that_ends_needs_the_gpu_for_nothing() -> None:
    """The end of a turn ends every wait for it."""
    turn = Turn()
    waiting = asyncio.create_task(turn.wait_denoised())
    turn.end()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(turn.wait_ended(), 1)
    assert turn.has_ended
