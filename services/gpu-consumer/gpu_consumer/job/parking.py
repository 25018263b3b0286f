"""Sends a message whose time has not come to wait in a retry lane."""

import asyncio
from typing import Any

import structlog

from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.publishing import Publisher
from darkroom_contracts.messages import RenderMessage, encode_render
from darkroom_contracts.messages.v1 import CONTENT_TYPE
from darkroom_contracts.topology import DEAD_EXCHANGE, JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, Lane, Lanes, Topology

TRIES = 3
PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class Parking:
    def __init__(self, publisher: Publisher, broker: Broker, topology: Topology, lanes: Lanes) -> None:
        self._publisher = publisher
        self._broker = broker
        self._topology = topology
        self._lanes = lanes

    async def park(self, message: RenderMessage, wait_ms: float) -> Lane | None:
        """Publish a copy to the lane that covers the wait, and return that lane once the broker confirmed it.

        Returns None where the broker did not.

        The copy is fresh: one that carried `x-death` would be dropped as a cycle when its lane ends.
        """
        lane = self._lanes.covering(wait_ms)
        headers = {JOB_ID_HEADER: str(message.job_id), "traceparent": message.traceparent, LANE_HEADER: lane.name}
        for _ in range(TRIES):
            try:
                await self._publisher.publish(
                    RETRY_EXCHANGE, message.model, encode_render(message), headers, CONTENT_TYPE
                )
            except UnroutableError as error:
                log.warning("the retry lane is missing and is declared again", lane=lane.name, error=str(error))
                await self._broker.declare(self._topology)
            except (BrokerUnavailableError, RefusedError) as error:
                log.warning("parking failed", lane=lane.name, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return lane
        return None

    async def bury(self, body: bytes, headers: dict[str, Any]) -> None:
        """Publish a message to the dead letters, however long the broker is away; without `x-death`, as above."""
        fresh = {name: value for name, value in headers.items() if name != "x-death"}
        while True:
            try:
                return await self._publisher.publish(DEAD_EXCHANGE, "", body, fresh, CONTENT_TYPE)
            except UnroutableError:
                await self._broker.declare(self._topology)
            except (BrokerUnavailableError, RefusedError) as error:
                log.warning("a message is not yet among the dead letters", error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
