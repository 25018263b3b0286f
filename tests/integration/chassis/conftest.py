"""A broker for the chassis' tests."""

from collections.abc import AsyncIterator

import pytest

from chassis.broker import Broker
from darkroom_contracts.topology import Lanes, topology


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    """A broker that has the topology of `tiny`."""
    broker = Broker(vhost, "test")
    await broker.declare(topology(["tiny"], Lanes.of((1,))))
    yield broker
    await broker.close()
