"""Batches of concurrent calls."""

import asyncio
from collections.abc import Sequence

import pytest

from chassis.batching import Batcher, Group


class Worker:
    """Answers each item with its text. A test holds the batches, or makes them fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.most_at_once = 0
        self.error: Exception | None = None
        self.refused: set[int] = set()
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self._at_once = 0

    async def work(self, batch: Sequence[Group[int, str]]) -> None:
        self.batches.append([group.item for group in batch])
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        self.begun.set()
        await self.open.wait()
        self._at_once -= 1
        if self.refused & set(self.batches[-1]):
            raise LookupError
        batch[0].answer(str(batch[0].item))
        if self.error:
            raise self.error
        for group in batch:
            group.answer(str(group.item))


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def batcher(worker: Worker) -> Batcher[int, str]:
    return Batcher(worker.work, largest=10)


def asking(batcher: Batcher[int, str], *items: int) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batcher.ask(item)) for item in items]


async def test_calls_that_come_together_share_a_batch(batcher: Batcher[int, str], worker: Worker) -> None:
    """Concurrent calls share a batch, and calls with equal items share an answer."""
    assert await asyncio.gather(*asking(batcher, 1, 2, 1)) == ["1", "2", "1"]
    assert worker.batches == [[1, 2]]


async def test_calls_that_come_while_a_batch_is_under_way_share_the_next(
    batcher: Batcher[int, str], worker: Worker
) -> None:
    """Calls during a batch wait for the next one, even for an item of the running batch; the oldest go first."""
    worker.open.clear()
    first = asking(batcher, 1)
    await worker.begun.wait()
    later = asking(batcher, *range(1, 13))
    await asyncio.sleep(0)
    assert batcher.waiting == 12
    worker.open.set()
    await asyncio.gather(*first, *later)
    assert worker.batches == [[1], list(range(1, 11)), [11, 12]]


async def test_a_bounded_number_of_batches_is_in_flight(worker: Worker) -> None:
    """As many batches run at once as are allowed, and no more."""
    batcher = Batcher(worker.work, largest=1, in_flight=3)
    worker.open.clear()
    tasks = asking(batcher, *range(10))
    await worker.begun.wait()
    await asyncio.sleep(0)
    worker.open.set()
    await asyncio.gather(*tasks)
    assert (worker.most_at_once, len(worker.batches)) == (3, 10)


async def test_an_error_fails_what_its_batch_left_unanswered(batcher: Batcher[int, str], worker: Worker) -> None:
    """An error fails the groups of its batch without an answer; the next batch runs."""
    worker.error = ValueError("no")
    results = await asyncio.gather(*asking(batcher, 1, 2, 3), return_exceptions=True)
    assert [type(result) for result in results] == [str, ValueError, ValueError]
    worker.error = None
    assert await batcher.ask(4) == "4"


async def test_a_batch_with_a_bad_item_is_run_item_by_item(worker: Worker) -> None:
    """After the error that one item can cause, each item of its batch is a batch, before later calls."""
    batcher = Batcher(worker.work, largest=3, singly_after=LookupError)
    worker.refused = {2}
    results = await asyncio.gather(*asking(batcher, 1, 2, 3, 4, 5), return_exceptions=True)
    assert [repr(result) for result in results] == ["'1'", "LookupError()", "'3'", "'4'", "'5'"]
    assert worker.batches == [[1, 2, 3], [1], [2], [3], [4, 5]]


async def test_a_caller_that_goes_away_cancels_no_batch(batcher: Batcher[int, str], worker: Worker) -> None:
    """A batch runs to its end, with all of its items, when one of its callers is canceled."""
    worker.open.clear()
    leaver, stayer = asking(batcher, 1, 2)
    await worker.begun.wait()
    leaver.cancel()
    worker.open.set()
    assert await stayer == "2"
    assert worker.batches == [[1, 2]]


async def test_a_drain_waits_for_every_answer(batcher: Batcher[int, str], worker: Worker) -> None:
    """A drain waits for batches whose callers were all canceled, too."""
    for task in asking(batcher, *range(25)):
        await asyncio.sleep(0)
        task.cancel()
    await batcher.drain()
    assert [item for batch in worker.batches for item in batch] == list(range(25))
    assert batcher.waiting == 0


async def test_items_that_are_no_keys_have_one(worker: Worker) -> None:
    """Items with equal keys share a group, whatever the items are."""
    batcher: Batcher[int, str] = Batcher(worker.work, largest=10, key=lambda number: number % 2)
    assert await asyncio.gather(*asking(batcher, 1, 2, 3)) == ["1", "2", "1"]


async def test_what_is_taken_away_is_answered_by_its_taker(batcher: Batcher[int, str], worker: Worker) -> None:
    """Groups that are taken from the queue are not in a batch."""
    worker.open.clear()
    tasks = asking(batcher, 1)
    await worker.begun.wait()
    tasks += asking(batcher, 2, 3, 4)
    await asyncio.sleep(0)
    for group in batcher.take():
        group.answer(f"taken {group.item}")
    worker.open.set()
    assert await asyncio.gather(*tasks) == ["1", "taken 2", "taken 3", "taken 4"]
