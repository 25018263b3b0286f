"""Sends a message whose time has not come to wait in a retry lane."""

import asyncio

import structlog

from chassis.amqp import Broker, BrokerUnavailableError, Publisher, RefusedError, UnroutableError
from contracts.messages import RenderMessage, encode_render
from contracts.messages.v1 import CONTENT_TYPE
from contracts.topology import JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, Lanes, Topology

TRIES = 3
PAUSE_SECONDS = 1.0

log = structlog.get_logger()


class Parking:
    def __init__(self, publisher: Publisher, broker: Broker, topology: Topology, lanes: Lanes) -> None:
        self._publisher = publisher
        self._broker = broker
        self._topology = topology
        self._lanes = lanes

    async def park(self, message: RenderMessage, wait_ms: float) -> bool:
        """Publish a copy to the lane that covers the wait; True once the broker confirmed it.

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
                return True
        return False
