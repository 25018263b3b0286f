"""Rows of deliveries and attempts as the API shows them."""

from collections.abc import Sequence
from typing import Any

from chassis.postgres import Row
from darkroom_contracts.api.webhook_deliveries import WebhookAttempt, WebhookDelivery, WebhookDeliveryDetail
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus

_TIMINGS = ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms")
_DELIVERY = tuple(name for name in WebhookDelivery.__struct_fields__ if name not in {"status", "last_attempt"})


def delivery_view(row: Row) -> WebhookDelivery:
    """Return a delivery with its latest attempt, whose columns are null before the first."""
    latest = attempt_view(row) if row["number"] is not None else None
    values = {name: row[name] for name in _DELIVERY}
    return WebhookDelivery(**values, status=DeliveryStatus(row["status"]), last_attempt=latest)


def detail_view(
    delivery: WebhookDelivery, attempts: Sequence[WebhookAttempt], body: bytes | None
) -> WebhookDeliveryDetail:
    """Return a delivery with its attempts and its body."""
    values: dict[str, Any] = {name: getattr(delivery, name) for name in WebhookDelivery.__struct_fields__}
    return WebhookDeliveryDetail(**values, attempts=list(attempts), body=None if body is None else body.decode())


def attempt_view(row: Row) -> WebhookAttempt:
    """Return an attempt. Its timings are rounded to microseconds."""
    outcome = row["outcome"]
    timings = {name: None if row[name] is None else round(row[name], 3) for name in _TIMINGS}
    return WebhookAttempt(
        number=row["number"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        outcome=None if outcome is None else DeliveryOutcome(outcome),
        status=row["status_code"],
        error=row["error"],
        **timings,
    )
