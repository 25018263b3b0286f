"""Disposals of messages."""

from datetime import timedelta

import pytest

from darkroom_contracts.states import JobStatus
from gpu_consumer.gate import OWN_DATABASE, Gate
from gpu_consumer.job.disposing import Disposing
from gpu_consumer.job.outcome import Disposal
from gpu_consumer.job.verdict import (
    DeadLettered,
    Finding,
    Foreign,
    NotDue,
    Obsolete,
    Orphan,
    Paused,
    Settled,
    Unanswered,
)
from tests.unit.gpu_consumer.parts import MESSAGE, FakeParking, FakeStore


@pytest.fixture
def gate() -> Gate:
    gate = Gate(OWN_DATABASE)
    gate.allow(OWN_DATABASE)
    return gate


@pytest.fixture
def parking() -> FakeParking:
    return FakeParking()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def disposing(parking: FakeParking, store: FakeStore, gate: Gate) -> Disposing:
    return Disposing(parking, store, gate)


@pytest.mark.parametrize(
    ("finding", "disposal"),
    [
        (Settled(JobStatus.SUCCEEDED), Disposal.ACK),
        (Settled(JobStatus.QUEUED), Disposal.ACK),
        (Settled(JobStatus.FAILED), Disposal.REJECT),
        (Unanswered(), Disposal.GIVE_BACK),
        (DeadLettered(), Disposal.REJECT),
        (Orphan(), Disposal.BURY),
        (Obsolete("running"), Disposal.ACK),
    ],
)
async def test_each_finding_has_its_disposal(
    disposing: Disposing, gate: Gate, finding: Finding, disposal: Disposal
) -> None:
    """Each finding has its disposal, and none of these closes the gate."""
    assert await disposing.dispose(finding, MESSAGE) is disposal
    assert gate.is_open


@pytest.mark.parametrize(("finding", "wait_ms"), [(NotDue(40_000.0), 40_000.0), (Paused(), 0)])
async def test_a_message_whose_time_has_not_come_is_parked(
    disposing: Disposing, parking: FakeParking, store: FakeStore, finding: Finding, wait_ms: float
) -> None:
    """A message is acked once a lane has its copy and the job's row has the wait."""
    assert await disposing.dispose(finding, MESSAGE) is Disposal.ACK
    assert parking.waits == [wait_ms]
    assert parking.lane is not None
    assert store.written == [("parked", timedelta(milliseconds=parking.lane.ttl_ms))]


async def test_a_message_that_can_not_be_parked_goes_back(
    disposing: Disposing, parking: FakeParking, store: FakeStore
) -> None:
    """A message whose copy was not confirmed goes back, and the row is unchanged."""
    parking.lane = None
    assert await disposing.dispose(NotDue(5.0), MESSAGE) is Disposal.GIVE_BACK
    assert store.written == []


async def test_another_database_s_message_closes_the_gate(disposing: Disposing, gate: Gate) -> None:
    """Another database's message goes back and closes the gate; the readiness check has the reason."""
    assert await disposing.dispose(Foreign(), MESSAGE) is Disposal.GIVE_BACK
    with pytest.raises(RuntimeError, match="another database's jobs"):
        await gate.check(OWN_DATABASE)
