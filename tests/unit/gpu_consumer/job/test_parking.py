"""Messages are published to lanes and to the dead letters."""

from typing import Any, cast

import pytest

from chassis.backoff import Backoff
from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.publishing import Publisher
from darkroom_contracts.topology import DEAD_EXCHANGE, LANE_HEADER, RETRY_EXCHANGE, Topology, topology
from gpu_consumer.job import parking as parking_module
from gpu_consumer.job.parking import TRIES, Parking
from tests.unit.gpu_consumer.parts import BODY, LANES, MESSAGE


class FakeBroker:
    """A broker that answers publishes as the test sets it: `errors` first, then a confirm."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.published: list[tuple[str, str, bytes, dict[str, Any]]] = []
        self.declared = 0

    async def declare(self, wanted: Topology) -> None:
        self.declared += 1

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, Any], content_type: str
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.published.append((exchange, routing_key, body, headers))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(parking_module, "BACKOFF", Backoff(0, 0))
    return FakeBroker()


@pytest.fixture
def parking(broker: FakeBroker) -> Parking:
    return Parking(cast(Publisher, broker), cast(Broker, broker), topology(["tiny"], LANES), LANES)


async def test_a_message_is_parked_in_the_lane_that_covers_its_wait(parking: Parking, broker: FakeBroker) -> None:
    """The copy is the message, and a header names its lane."""
    lane = await parking.park(MESSAGE, 30_000)
    ((exchange, routing_key, body, headers),) = broker.published
    assert lane is not None
    assert lane.ttl_ms >= 30_000
    assert (exchange, routing_key, body, headers[LANE_HEADER]) == (RETRY_EXCHANGE, "tiny", BODY, lane.name)


async def test_a_missing_lane_is_declared_and_published_to_again(parking: Parking, broker: FakeBroker) -> None:
    """A returned message costs no try and no pause."""
    broker.errors = [UnroutableError("no queue")]
    assert await parking.park(MESSAGE, 0) is not None
    assert (broker.declared, len(broker.published)) == (1, 1)


@pytest.mark.parametrize("error", [BrokerUnavailableError("away"), RefusedError("full")])
async def test_parking_gives_up_after_some_tries(parking: Parking, broker: FakeBroker, error: Exception) -> None:
    """A message that the broker does not confirm is not parked."""
    broker.errors = [error] * TRIES
    assert await parking.park(MESSAGE, 0) is None
    assert broker.published == []


async def test_an_orphan_is_published_until_the_broker_confirms(parking: Parking, broker: FakeBroker) -> None:
    """It has the headers of its message but for `x-death`, which would let the broker drop it as a cycle."""
    broker.errors = [BrokerUnavailableError("away")] * (TRIES + 2)
    await parking.bury(BODY, {"x-death": [], "traceparent": "00"})
    assert broker.published == [(DEAD_EXCHANGE, "", BODY, {"traceparent": "00"})]
