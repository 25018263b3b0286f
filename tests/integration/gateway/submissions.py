"""Validated submissions, for tests of what follows validation."""

from typing import Any
from uuid import UUID

import asyncpg

from darkroom_contracts.api import JobInput
from darkroom_contracts.webhooks import TERMINAL_EVENTS
from gateway.identifiers import uuid7
from gateway.submission import Submission, hash_body

INPUT = JobInput("a lighthouse", "", 4, 7.5, "ddim", 64, 64, 7, 1, "png")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def make_tenant(rows: asyncpg.Connection, name: str = "default") -> UUID:
    tenant: UUID = await rows.fetchval("INSERT INTO tenants (name) VALUES ($1) RETURNING id", name)
    return tenant


def submission(tenant: UUID, key: str | None = None, body: bytes = b"{}", **changes: Any) -> Submission:
    """Return a valid submission of the tenant, with changes."""
    fields: dict[str, Any] = {
        "id": uuid7(),
        "tenant_id": tenant,
        "model": "tiny",
        "input": INPUT,
        "metadata": {},
        "webhook_url": None,
        "webhook_events": TERMINAL_EVENTS,
        "ttl_seconds": 60,
        "cost": INPUT.cost,
        "traceparent": TRACEPARENT,
        "idempotency_key": key,
        "body_hash": hash_body(body),
    }
    return Submission(**(fields | changes))
