"""Claims are made in time, or the message goes back."""

import asyncio

import pytest

from chassis.errors import DatabaseUnavailableError
from gpu_consumer.gate import DATABASE, Gate
from gpu_consumer.job import claiming
from gpu_consumer.job.claiming import Claiming
from gpu_consumer.job.lease import Lease
from gpu_consumer.job.verdict import NotDue, Unanswered
from tests.support.waiting import eventually
from tests.unit.gpu_consumer.parts import MESSAGE, FakeStore, claim_of


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def gate() -> Gate:
    gate = Gate(DATABASE)
    gate.allow(DATABASE)
    return gate


async def test_a_claim_gives_a_lease(store: FakeStore, gate: Gate) -> None:
    """A claim gives a fresh lease."""
    lease = await Claiming(store, gate, 60).claim(MESSAGE)
    assert isinstance(lease, Lease)
    assert lease.claimed == store.verdicts[0]
    assert lease.fresh


async def test_a_refusal_is_passed_on(store: FakeStore, gate: Gate) -> None:
    """A refusal is returned and does not close the gate."""
    store.verdicts = [NotDue(5.0)]
    assert await Claiming(store, gate, 60).claim(MESSAGE) == NotDue(5.0)
    assert gate.is_open


async def test_a_claim_in_doubt_is_repeated_under_one_token(store: FakeStore, gate: Gate) -> None:
    """A repeated claim has the same token, so that one that took effect is found."""
    store.verdicts = [DatabaseUnavailableError("the answer was lost"), claim_of()]
    assert isinstance(await Claiming(store, gate, 60).claim(MESSAGE), Lease)
    first, second = store.claims
    assert first == second


async def test_a_claim_that_is_not_answered_closes_the_gate(
    store: FakeStore, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a claim without an answer in time the message goes back and the gate closes."""
    monkeypatch.setattr(claiming, "CLAIM_SECONDS", 0.01)
    store.answers.clear()
    assert await Claiming(store, gate, 60).claim(MESSAGE) == Unanswered()
    assert not gate.holds(DATABASE)


async def test_a_worker_that_drains_claims_nothing(store: FakeStore, gate: Gate) -> None:
    """A worker that drains claims nothing."""
    gate.drain()
    assert await Claiming(store, gate, 60).claim(MESSAGE) == Unanswered()
    assert store.claims == []


async def test_a_drain_waits_for_a_claim_under_way(store: FakeStore, gate: Gate) -> None:
    """A drain waits for the answer to a claim under way."""
    store.answers.clear()
    claim = asyncio.create_task(Claiming(store, gate, 60).claim(MESSAGE))
    await eventually(lambda: len(store.claims) == 1)
    gate.drain()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not claim.done()
    store.answers.set()
    assert isinstance(await asyncio.wait_for(claim, 1), Lease)


async def test_a_drain_waits_for_a_claim_only_so_long(
    store: FakeStore, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain waits for an answer for a limited time only."""
    monkeypatch.setattr(claiming, "CLAIM_GRACE_SECONDS", 0.01)
    store.answers.clear()
    claim = asyncio.create_task(Claiming(store, gate, 60).claim(MESSAGE))
    await eventually(lambda: len(store.claims) == 1)
    gate.drain()
    assert await asyncio.wait_for(claim, 5) == Unanswered()
