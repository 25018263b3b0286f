"""Each outcome is recorded once, under a claim that holds."""

import time
from typing import Any

import pytest

from darkroom_contracts.api import JobMetrics
from darkroom_contracts.errors import JobErrorCode, Stage
from darkroom_contracts.states import JobStatus
from gpu_consumer.job.lease import Interruption, Lease
from gpu_consumer.job.outcome import Canceled, Dead, Discarded, Expired, Outcome, Released, Retry, Succeeded, failure
from gpu_consumer.job.receipts import receipt_of
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.verdict import NotDue, Obsolete, Settled
from tests.support.models import job_input, ready, rendered
from tests.unit.gpu_consumer.parts import LANES, LETTER, MESSAGE, FakeStore, claim_of

SUCCESS = Succeeded((), receipt_of(ready(), job_input(), rendered(), ()), JobMetrics())
ERROR = failure(JobErrorCode.STORAGE_UNAVAILABLE, "away", Stage.STORE)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


async def settle(store: FakeStore, outcome: Outcome, **claim: Any) -> Any:
    async with Lease(store, claim_of(**claim), MESSAGE, 60, time.monotonic()) as lease:
        return await Settling(store, LANES).settle(lease, outcome, LETTER)


@pytest.mark.parametrize(
    ("outcome", "written"),
    [
        (SUCCESS, (JobStatus.SUCCEEDED, SUCCESS)),
        (Dead(ERROR), (JobStatus.FAILED, ERROR, LETTER)),
        (Canceled(), (JobStatus.CANCELED,)),
        (Expired(ERROR), (JobStatus.EXPIRED, ERROR)),
        (Released(), (JobStatus.QUEUED,)),
    ],
)
async def test_each_outcome_has_its_transaction(store: FakeStore, outcome: Outcome, written: tuple[Any, ...]) -> None:
    """Each outcome is recorded once; a dead job's with its letter."""
    assert await settle(store, outcome) == Settled(written[0])
    assert store.written == [written]
    assert store.claims == []


@pytest.mark.parametrize(("attempt", "delay"), [(1, 1), (2, 60), (9, 60)])
async def test_each_failure_waits_longer(store: FakeStore, attempt: int, delay: int) -> None:
    """The lane of a failure depends on the number of the attempt."""
    assert await settle(store, Retry(ERROR), attempt=attempt) == Settled(JobStatus.QUEUED)
    ((_, error, lane),) = store.written
    assert error == ERROR
    assert lane.name[:-1] in {"1s", "1m"}
    assert 0.8 * delay <= lane.ttl_ms / 1000 <= 1.2 * delay


@pytest.mark.parametrize(("outcome", "rendered"), [(SUCCESS, True), (Canceled(), True), (Released(), False)])
async def test_a_job_that_is_not_held_is_claimed_again(store: FakeStore, outcome: Outcome, rendered: bool) -> None:
    """The outcome of a job that is not held is recorded under a fresh claim, which ignores time but for a release."""
    store.held = False
    settled = await settle(store, outcome)
    assert isinstance(settled, Settled)
    assert [status for status, *_ in store.written] == [settled.status] * 2
    assert [claim[1] for claim in store.claims] == [rendered]


async def test_a_job_that_is_another_s_is_left_alone(store: FakeStore) -> None:
    """The outcome of another worker's job is not recorded, and the verdict is returned."""
    store.held, store.verdicts = False, [Obsolete("running")]
    assert await settle(store, SUCCESS) == Obsolete("running")
    assert len(store.written) == 1


async def test_a_failure_is_never_claimed_again(store: FakeStore) -> None:
    """A failure whose row is not held is looked up, never claimed again."""
    store.held = False
    assert await settle(store, Retry(ERROR)) == NotDue(5.0)
    assert [what for what, *_ in store.written] == [JobStatus.QUEUED, "look"]
    assert store.claims == []


async def test_a_lost_lease_is_not_recorded(store: FakeStore) -> None:
    """A lost lease records nothing and returns its verdict."""
    async with Lease(store, claim_of(), MESSAGE, 60, time.monotonic()) as lease:
        lease.verdict = Obsolete("running")
        lease.interrupt(Interruption.LEASE_LOST)
        assert await Settling(store, LANES).settle(lease, Discarded(), LETTER) == Obsolete("running")
    assert (store.written, store.claims) == ([], [])
