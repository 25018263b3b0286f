"""A turn for each replay of a round."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from chassis.errors import TransientDatabaseError

R = TypeVar("R")


async def take_turns(replays: Iterable[R], step: Callable[[R], Awaitable[bool]]) -> bool:
    """Take a step of each replay, also of those after one that fails. Return whether any may go on at once.

    Raises an outage when it is met, and any other error when all have had their turn.
    """
    steps: list[bool] = []
    failure: Exception | None = None
    for replay in replays:
        try:
            steps.append(await step(replay))
        except TransientDatabaseError:
            raise
        except Exception as error:  # a replay that this version can't read must not stop those that come after it
            failure = error
    if failure is not None:
        raise failure
    return any(steps)
