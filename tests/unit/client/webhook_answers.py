"""Endpoints and deliveries as the API returns them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from darkroom_contracts.api.webhook_deliveries import WebhookAttempt, WebhookDelivery, WebhookDeliveryDetail
from darkroom_contracts.api.webhook_endpoints import WebhookEndpoint, WebhookEndpointStats, WebhookEndpointWithSecret
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus, EndpointAudience, EndpointStatus
from tests.support.webhooks import SECRET
from tests.unit.client.answers import JOB_ID

ENDPOINT_ID = UUID("01993b5c-000e-7000-8000-00000000000e")
DELIVERY_ID = UUID("01993b5c-0007-7000-8000-00000000000d")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
URL = "https://shop.example.com/hook"


def endpoint(**changes: Any) -> WebhookEndpoint:
    return WebhookEndpoint(**_ENDPOINT | changes)


def endpoint_with_secret(**changes: Any) -> WebhookEndpointWithSecret:
    return WebhookEndpointWithSecret(**_ENDPOINT | {"secret": SECRET, "public_key": None} | changes)


_ENDPOINT: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "audience": EndpointAudience.CLIENT,
    "implicit": False,
    "url": URL,
    "description": "the shop",
    "events": ["job.succeeded", "job.failed"],
    "metadata_filter": {"order": "7"},
    "header_names": ["authorization"],
    "ed25519": False,
    "status": EndpointStatus.ENABLED,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": AT,
    "updated_at": AT,
}


def stats(**changes: Any) -> WebhookEndpointStats:
    values: dict[str, Any] = {
        "since": AT,
        "deliveries": {"succeeded": 1200, "failed": 3, "retired": 0},
        "attempts": {"succeeded": 1200, "failed": 30},
        "success_share": 0.9975,
        "delivery_ms_p50": 12.5,
        "delivery_ms_p95": 1234.5,
        "attempt_ms_p50": 10.0,
        "attempt_ms_p95": 20.0,
        "oldest_pending_at": None,
    }
    return WebhookEndpointStats(**values | changes)


def accepted(number: int = 1) -> WebhookAttempt:
    return WebhookAttempt(
        number=number,
        started_at=AT,
        ended_at=AT,
        outcome=DeliveryOutcome.SUCCEEDED,
        status=204,
        dns_ms=0.5,
        connect_ms=1.25,
        first_byte_ms=3.0,
        total_ms=3.5,
    )


def refused(number: int = 1, error: str = "HTTP 503 from the receiver.") -> WebhookAttempt:
    return WebhookAttempt(
        number=number, started_at=AT, ended_at=AT, outcome=DeliveryOutcome.FAILED, status=503, total_ms=7.0, error=error
    )


def delivery(*attempts: WebhookAttempt, **changes: Any) -> WebhookDelivery:
    """Return a waiting delivery with its attempts, as lists have it."""
    return WebhookDelivery(**_delivery(attempts) | changes)


def detail(*attempts: WebhookAttempt, body: str | None = None, **changes: Any) -> WebhookDeliveryDetail:
    """Return a waiting delivery as it is shown by itself."""
    return WebhookDeliveryDetail(**_delivery(attempts) | {"attempts": list(attempts), "body": body} | changes)


def succeeded() -> WebhookDeliveryDetail:
    return detail(accepted(), status=DeliveryStatus.SUCCEEDED, finished_at=AT, next_attempt_at=None)


def _delivery(attempts: tuple[WebhookAttempt, ...]) -> dict[str, Any]:
    return {
        "id": DELIVERY_ID,
        "endpoint_id": ENDPOINT_ID,
        "job_id": JOB_ID,
        "job_version": 3,
        "event": "job.succeeded",
        "url": URL,
        "status": DeliveryStatus.PENDING,
        "in_flight": False,
        "created_at": AT,
        "scheduled_at": AT,
        "next_attempt_at": AT + timedelta(seconds=5),
        "attempts_made": len(attempts),
        "failures": sum(attempt.outcome == DeliveryOutcome.FAILED for attempt in attempts),
        "dead_lettered": False,
        "last_attempt": attempts[-1] if attempts else None,
    }
