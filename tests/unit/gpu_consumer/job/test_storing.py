"""Finished renders are stored, one job at a time."""

import asyncio
import time

import pytest

from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Discarded, Finished, Retry, Succeeded
from gpu_consumer.job.storing import Storing
from gpu_consumer.job.verdict import Obsolete
from gpu_consumer.protocol import RenderedImage
from tests.support.models import job_input, picture, ready, rendered
from tests.unit.gpu_consumer.parts import AWAY, MESSAGE, FakePictures, FakeStore, claim_of

FINISHED = Finished(job_input(), (picture(RenderedImage(64, 64, 7, b"")),), rendered(), ready(), 0.0, None, 0.0)


class FakeUsage:
    """The next render begins at once, and the wait for it is counted."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def let_next_begin(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def pictures() -> FakePictures:
    return FakePictures()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def lease(store: FakeStore) -> Lease:
    return Lease(store, claim_of(), MESSAGE, 60, time.monotonic())


async def test_a_stored_render_succeeded(pictures: FakePictures, lease: Lease) -> None:
    """A stored render succeeded, with outputs, receipt and times."""
    outcome = await Storing(pictures, FakeUsage(), 0).store(lease, FINISHED)
    assert isinstance(outcome, Succeeded)
    assert [output.key for output in outcome.outputs] == ["key"]
    assert outcome.receipt.pictures[0].sha256 == "ab" * 32
    assert (outcome.metrics.inference_ms, outcome.metrics.queue_ms) == (12.5, None)
    assert outcome.metrics.store_ms is not None


async def test_a_bucket_that_is_away_is_tried_again(pictures: FakePictures, lease: Lease) -> None:
    """A bucket that is away is a failure that may pass; S3's message is in the detail only."""
    pictures.error = AWAY
    outcome = await Storing(pictures, FakeUsage(), 0).store(lease, FINISHED)
    assert isinstance(outcome, Retry)
    assert "s3.internal" not in outcome.error.message
    assert "s3.internal" in outcome.detail["cause"]


async def test_a_job_that_is_another_s_is_not_stored(pictures: FakePictures, store: FakeStore, lease: Lease) -> None:
    """Nothing is stored if the lease is lost and the claim made again is refused."""
    store.verdicts = [Obsolete("running")]
    lease.interrupt(Interruption.LEASE_LOST)
    pictures.error = AssertionError("nothing is stored")
    assert await Storing(pictures, FakeUsage(), 0).store(lease, FINISHED) == Discarded()
    assert [rendered for _, rendered in store.claims] == [True]


async def test_one_job_at_a_time_has_its_turn() -> None:
    """One job at a time is stored, each after a wait for the next render."""
    usage = FakeUsage()
    storing = Storing(FakePictures(), usage, 0.05)
    entered: list[int] = []
    leave = asyncio.Event()

    async def take_turn(number: int) -> None:
        async with storing.turn():
            entered.append(number)
            await leave.wait()

    turns = [asyncio.create_task(take_turn(number)) for number in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (entered, usage.waits) == ([0], [0.05])
    leave.set()
    await asyncio.gather(*turns)
    assert (entered, usage.waits) == ([0, 1], [0.05, 0.05])
