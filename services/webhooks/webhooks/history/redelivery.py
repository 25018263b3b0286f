"""Sending one delivery again."""

from uuid import UUID

import structlog

from chassis.auth import Caller
from chassis.postgres import Database
from darkroom_contracts.api.webhook_deliveries import WebhookDelivery
from webhooks import metrics
from webhooks.history import store
from webhooks.history.deliveries import read_delivery
from webhooks.history.problems import DeliveryInFlightError, EndpointInactiveError, NoSuchDeliveryError
from webhooks.registry.allowances import Act, Allowances

log = structlog.get_logger()


class Redelivery:
    """The use case of `redeliver`."""

    def __init__(self, database: Database, allowances: Allowances) -> None:
        self._database = database
        self._allowances = allowances

    async def __call__(self, caller: Caller, delivery_id: UUID) -> WebhookDelivery:
        """Make a delivery due at once, with its id and body, in a new schedule. Repeating it is safe.

        If its endpoint is disabled or deleted at the same moment, the delivery ends as canceled. Raises ProblemError:
        404 for an unknown delivery, 409 while an attempt is under way, or if the endpoint receives nothing, 429.
        """
        async with self._database.transaction() as connection:
            found = await store.find_delivery(connection, caller, delivery_id)
            if found is None:
                raise NoSuchDeliveryError
            if not found.active:
                raise EndpointInactiveError
            await self._allowances.spend(connection, caller.tenant_id, Act.REDELIVER)
            accepted = await store.redeliver(connection, delivery_id)
            delivery = await read_delivery(connection, delivery_id)
            if not accepted:
                raise DeliveryInFlightError
        metrics.REDELIVERIES.labels("one").inc()
        log.info("delivery is sent again", delivery_id=str(delivery_id), key_id=caller.key_id)
        return delivery
