import asyncio
from itertools import count

import pytest

from tests.support.pool import Pool
from tests.support.waiting import eventually


class Maker:
    """Makes numbers, and waits before each for permission."""

    def __init__(self) -> None:
        self.permitted = asyncio.Event()
        self.begun = 0
        self._numbers = count(1)

    async def make(self) -> int:
        self.begun += 1
        await self.permitted.wait()
        return next(self._numbers)


async def test_things_are_made_ahead() -> None:
    """The first taker waits for its own, while the pool fills up."""
    maker = Maker()
    pool = Pool(maker.make, size=2)
    taker = asyncio.create_task(pool.take())
    await eventually(lambda: maker.begun == 3)
    maker.permitted.set()
    assert await taker == 1
    assert await pool.take() == 2
    assert await pool.close() == [3]


async def test_a_failure_reaches_its_taker() -> None:
    """What a making raises is raised by one take, and the next one is made anew."""
    failures = iter([OSError("no room")])

    async def make() -> str:
        if failure := next(failures, None):
            raise failure
        return "made"

    pool = Pool(make, size=1)
    with pytest.raises(OSError, match="no room"):
        await pool.take()
    assert await pool.take() == "made"
    await pool.close()


async def test_an_unused_pool_makes_nothing() -> None:
    """Nothing is made before somebody takes."""
    maker = Maker()
    assert await Pool(maker.make, size=2).close() == []
    assert maker.begun == 0
