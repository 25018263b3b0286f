"""Claimed deliveries and destinations."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from webhooks.dispatch.records import Delivery, Destination, Endpoint

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORIGIN = "https://example.com:443"


def endpoint(**changes: Any) -> Endpoint:
    """Return an implicit endpoint, with changes."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "tenant_id": uuid4(),
        "implicit": True,
        "rotation": 0,
        "master_key": "first",
    }
    return Endpoint(**values | changes)


def delivery(**changes: Any) -> Delivery:
    """Return the first attempt of a delivery, with changes."""
    values: dict[str, Any] = {
        "id": uuid4(),
        "endpoint": endpoint(),
        "url": "https://example.com/hook",
        "recorded_origin": ORIGIN,
        "origin": ORIGIN,
        "failures": 0,
        "body": b"{}",
        "number": 1,
        "token": uuid4(),
        "created_at": NOON,
    }
    return Delivery(**values | changes)


def destination(tenant_id: UUID, origin: str = ORIGIN, **changes: Any) -> Destination:
    """Return a destination with a due delivery, with changes."""
    values: dict[str, Any] = {
        "endpoint_id": uuid4(),
        "recorded_origin": origin,
        "origin": origin,
        "tenant_id": tenant_id,
        "due_at": NOON,
        "ready": True,
        "abandoned": False,
        "unsignable": False,
    }
    return Destination(**values | changes)
