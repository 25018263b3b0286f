"""Fixtures for the chassis' tests."""

from collections.abc import AsyncIterator

import pytest

from chassis.broker import Broker
from darkroom_contracts.topology import Lanes, topology


@pytest.fixture
async def broker(vhost: str) -> AsyncIterator[Broker]:
    """Return a broker with the topology of the model `tiny`."""
    broker = Broker(vhost, "test")
    await broker.declare(topology(["tiny"], Lanes.of((1,))))
    yield broker
    await broker.close()
