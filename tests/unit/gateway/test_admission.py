"""Bounds on waiting jobs while the queue cannot be sampled."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from chassis.errors import DatabaseUnavailableError
from chassis.problems import ProblemError
from gateway.admission import FORGOTTEN_SECONDS, INTERVAL_SECONDS, Admission
from gateway.store import Waiting
from tests.support.clocks import Clock

MODEL = "tiny"
BOUND = 3
TENANT = uuid4()


class Queue:
    """A stand-in for the store with a number of waiting jobs, or a failing query."""

    def __init__(self, clock: Clock) -> None:
        self.waiting: int | None = 0
        self.seconds = 0.0
        self._clock = clock

    async def count_waiting(self, models: Sequence[str], at_most: int) -> list[Waiting]:
        self._clock.seconds += self.seconds
        if self.waiting is None:
            raise DatabaseUnavailableError("gone")
        return [Waiting(MODEL, TENANT, self.waiting)] if self.waiting else []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue:
    return Queue(clock)


@pytest.fixture
def admission(queue: Queue, clock: Clock) -> Admission:
    return Admission(queue, [MODEL], BOUND, 100, clock)  # type: ignore[arg-type]


def admitted(admission: Admission, tenant: UUID = TENANT) -> int:
    """Return how many more jobs are admitted, up to a hundred."""
    for jobs in range(100):
        try:
            admission.admit(MODEL, tenant)
        except ProblemError:
            return jobs
    return 100


async def fail_for(admission: Admission, clock: Clock, seconds: float) -> None:
    """Let samples fail for a time, one in each interval."""
    until = clock.seconds + seconds
    while clock.seconds < until:
        clock.seconds = min(clock.seconds + INTERVAL_SECONDS, until)
        with pytest.raises(DatabaseUnavailableError):
            await admission.run_once()


async def test_counts_hold_while_a_few_samples_fail(admission: Admission, queue: Queue, clock: Clock) -> None:
    """The last sample and the admissions since then are still used."""
    queue.waiting = 1
    await admission.run_once()
    queue.waiting = None
    assert admitted(admission) == BOUND - 1
    await fail_for(admission, clock, FORGOTTEN_SECONDS / 2)
    assert admitted(admission) == 0


async def test_old_counts_are_forgotten_when_sampling_fails(admission: Admission, queue: Queue, clock: Clock) -> None:
    """The jobs may have ended; counts that only grow would refuse every submission until the next sample."""
    queue.waiting = BOUND
    await admission.run_once()
    queue.waiting = None
    assert admitted(admission) == 0
    await fail_for(admission, clock, FORGOTTEN_SECONDS + INTERVAL_SECONDS)
    assert admitted(admission) == BOUND


async def test_what_is_admitted_without_samples_stays_bounded(admission: Admission, queue: Queue, clock: Clock) -> None:
    """Each period admits as many jobs as may wait, however long the outage lasts."""
    queue.waiting = None
    total = 0
    for _ in range(10):
        total += admitted(admission)
        await fail_for(admission, clock, FORGOTTEN_SECONDS / 4)
    assert total <= BOUND * 4


async def test_a_sample_ends_the_guessing(admission: Admission, queue: Queue, clock: Clock) -> None:
    """Earlier admissions are part of the sample."""
    queue.waiting = None
    admitted(admission)
    await fail_for(admission, clock, FORGOTTEN_SECONDS / 2)
    queue.waiting = 2
    await admission.run_once()
    assert admitted(admission) == 1


async def test_costly_samples_are_trusted_for_longer(admission: Admission, queue: Queue, clock: Clock) -> None:
    """Expensive samples are rare, so a single failure must not discard the last one."""
    queue.waiting = BOUND
    queue.seconds = 4.0
    await admission.run_once()
    assert admission.interval > FORGOTTEN_SECONDS
    queue.waiting = None
    await fail_for(admission, clock, 2 * FORGOTTEN_SECONDS)
    assert admitted(admission) == 0
