"""The log of webhook deliveries."""

import time
from collections.abc import Iterator
from uuid import UUID

from darkroom.transport import Transport
from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.api.webhook_deliveries import (
    MAX_PAGE,
    EventType,
    WebhookDelivery,
    WebhookDeliveryDetail,
    WebhookDeliveryList,
    WebhookDeliveryQuery,
)
from darkroom_contracts.routes.webhooks import GET_DELIVERY, LIST_DELIVERIES, REDELIVER
from darkroom_contracts.states import DeliveryStatus, EndpointAudience

POLL_SECONDS = 0.25


class WebhookDeliveries:
    """Deliveries of the tenant's endpoints, and of the operators' for an operator's key.

    Every method raises UnreachableError and ApiError.
    """

    def __init__(self, api: Transport) -> None:
        self._api = api

    def list(
        self,
        *,
        job: UUID | None = None,
        endpoint: EndpointId | None = None,
        status: DeliveryStatus | None = None,
        event: EventType | None = None,
        audience: EndpointAudience = EndpointAudience.CLIENT,
    ) -> Iterator[WebhookDelivery]:
        """Yield the deliveries that match, the newest first. Pages are requested as they are needed."""
        query = WebhookDeliveryQuery(
            job=job,
            endpoint=None if endpoint is None else str(endpoint),
            status=status,
            event=event,
            audience=audience,
            limit=MAX_PAGE,
        )
        for page in self._api.pages(LIST_DELIVERIES, WebhookDeliveryList, query):
            yield from page.deliveries

    def get(self, delivery_id: UUID) -> WebhookDeliveryDetail:
        """Return a delivery with its attempts and its body."""
        return self._api.call(GET_DELIVERY, WebhookDeliveryDetail, path={"id": delivery_id})

    def wait(self, delivery_id: UUID, *, timeout_seconds: float) -> WebhookDeliveryDetail:
        """Poll until an attempt of a new delivery has ended, or the timeout is over, and return the delivery."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            delivery = self.get(delivery_id)
            is_over = delivery.failures > 0 or delivery.status != DeliveryStatus.PENDING
            if is_over or time.monotonic() + POLL_SECONDS > deadline:
                return delivery
            self._api.sleep(POLL_SECONDS)

    def redeliver(self, delivery_id: UUID) -> WebhookDelivery:
        """Send a delivery again, now and then by the whole schedule, with the same id and body.

        Refused while an attempt is in flight, and when its endpoint is disabled or deleted.
        """
        return self._api.call(REDELIVER, WebhookDelivery, path={"id": delivery_id})
