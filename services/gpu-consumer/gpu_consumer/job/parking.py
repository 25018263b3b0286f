"""Parking: a message whose time has not come waits in a retry lane."""

from collections.abc import Mapping
from typing import Any

import structlog

from chassis.backoff import Backoff, retry
from chassis.broker import Broker
from chassis.errors import BrokerUnavailableError, RefusedError, UnroutableError
from chassis.publishing import Publisher
from darkroom_contracts.messages import RenderMessage, encode_render
from darkroom_contracts.messages.v1 import CONTENT_TYPE
from darkroom_contracts.topology import DEAD_EXCHANGE, JOB_ID_HEADER, LANE_HEADER, RETRY_EXCHANGE, Lane, Lanes, Topology

TRIES = 3
BACKOFF = Backoff(1.0, 1.0)
_NOT_TAKEN = (BrokerUnavailableError, RefusedError, UnroutableError)

log = structlog.get_logger()


class Parking:
    """Publishes the messages that a worker does not leave to its queue's own dead-lettering.

    A copy carries no `x-death`: the broker would drop it as a cycle when its lane ends.
    """

    def __init__(self, publisher: Publisher, broker: Broker, topology: Topology, lanes: Lanes) -> None:
        self._publisher = publisher
        self._broker = broker
        self._topology = topology
        self._lanes = lanes

    async def park(self, message: RenderMessage, wait_ms: float) -> Lane | None:
        """Publish a copy to the lane that covers the wait. Return the lane, or None if the broker did not confirm."""
        lane = self._lanes.covering(wait_ms)
        headers = {JOB_ID_HEADER: str(message.job_id), "traceparent": message.traceparent, LANE_HEADER: lane.name}
        body = encode_render(message)
        try:
            await self._publish(RETRY_EXCHANGE, message.model, body, headers, tries=TRIES)
        except _NOT_TAKEN as error:
            log.warning("parking failed", lane=lane.name, error=str(error))
            return None
        return lane

    async def bury(self, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish a message to the dead letters, however long the broker is away."""
        fresh = {name: value for name, value in headers.items() if name != "x-death"}
        await self._publish(DEAD_EXCHANGE, "", body, fresh, tries=None)

    async def _publish(
        self, exchange: str, routing_key: str, body: bytes, headers: dict[str, Any], *, tries: int | None
    ) -> None:
        """Publish, and declare the topology again where no queue is bound. Raises the error of the last try."""

        async def publish() -> None:
            try:
                await self._publisher.publish(exchange, routing_key, body, headers, CONTENT_TYPE)
            except UnroutableError as error:
                log.warning("a queue is missing and is declared again", exchange=exchange, error=str(error))
                await self._broker.declare(self._topology)
                await self._publisher.publish(exchange, routing_key, body, headers, CONTENT_TYPE)

        await retry(publish, on=_NOT_TAKEN, backoff=BACKOFF, report=_report, tries=tries)


def _report(error: Exception, pause: float) -> None:
    log.warning("a message was not published", error=str(error), retry_seconds=pause)
