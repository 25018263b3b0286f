"""How far a page looks, and whether another one follows."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from chassis.cursor import encode_cursor
from darkroom_contracts.api.webhook_deliveries import WebhookDelivery, WebhookDeliveryQuery
from darkroom_contracts.states import DeliveryStatus
from webhooks.history.deliveries import LOOKED_AT, looks_at, next_cursor

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def ids(*numbers: int) -> list[UUID]:
    return [UUID(int=number) for number in numbers]


def found(*numbers: int) -> list[WebhookDelivery]:
    return [
        WebhookDelivery(
            id=delivery_id,
            endpoint_id=uuid4(),
            event="job.failed",
            url="https://example.com",
            status=DeliveryStatus.FAILED,
            in_flight=False,
            created_at=AT,
            scheduled_at=AT,
            attempts_made=1,
            failures=1,
            dead_lettered=False,
        )
        for delivery_id in ids(*numbers)
    ]


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


@pytest.mark.parametrize(
    ("seen", "shown", "last"),
    [
        ([], [], None),
        ([9, 8], [9, 8], None),
        ([9, 8, 7], [9, 8], 8),  # one more was seen
        ([9, 8, 7], [9], 7),  # all were looked at, one matched: the next page begins after them
        ([9, 8, 7], [], 7),
        ([9, 8], [9], None),
        ([9, 8, 7], [9, 7], 7),  # others can follow the last one that was seen
    ],
)
def test_a_cursor_says_whether_more_follow(seen: list[int], shown: list[int], last: int | None) -> None:
    """Of a page of two that looks at three at the most. Nothing is shown twice or left out."""
    expected = None if last is None else encode_cursor(UUID(int=last))
    assert next_cursor(ids(*seen), found(*shown), 2, 3) == expected
