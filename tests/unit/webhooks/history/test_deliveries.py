"""How far a page looks."""

from uuid import uuid4

import pytest

from darkroom_contracts.api.webhook_deliveries import WebhookDeliveryQuery
from darkroom_contracts.states import DeliveryStatus
from webhooks.history.deliveries import LOOKED_AT, looks_at


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (WebhookDeliveryQuery(), 51),
        (WebhookDeliveryQuery(limit=7), 8),
        (WebhookDeliveryQuery(job=uuid4()), 51),
        (WebhookDeliveryQuery(status=DeliveryStatus.FAILED), 51),
        (WebhookDeliveryQuery(status=DeliveryStatus.FAILED, endpoint="implicit"), 51),
        (WebhookDeliveryQuery(status=DeliveryStatus.FAILED, event="job.failed"), LOOKED_AT),
        (WebhookDeliveryQuery(status=DeliveryStatus.FAILED, job=uuid4()), LOOKED_AT),
        (WebhookDeliveryQuery(status=DeliveryStatus.PENDING), LOOKED_AT),
        (WebhookDeliveryQuery(event="job.failed"), LOOKED_AT),
    ],
)
def test_a_page_looks_further_only_for_filters_without_an_index(query: WebhookDeliveryQuery, count: int) -> None:
    """Where every delivery of the index matches, one more than the page is enough."""
    assert looks_at(query) == count
