"""Destinations, deliveries and their completions, as dispatch handles them."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus

NO_TENANT = UUID(int=0)
"""Stands for the operators, whose endpoints have no tenant."""


class Destination(msgspec.Struct, frozen=True):
    """The waiting deliveries of an endpoint to an origin."""

    endpoint_id: UUID
    origin: str
    tenant_id: UUID
    due_at: datetime
    """When the first of them is due."""
    ready: bool
    """Whether one is due and the endpoint is enabled."""
    abandoned: bool
    """Whether the endpoint was deleted or disabled, so that none will ever be sent."""


class Share(NamedTuple):
    """Permission to claim a destination's first deliveries."""

    destination: Destination
    at_most: int


class Endpoint(msgspec.Struct, frozen=True):
    """What a delivery needs of its endpoint to be signed and judged."""

    id: UUID
    tenant_id: UUID
    implicit: bool
    rotation: int
    has_previous_secret: bool
    """Whether the secret before the latest rotation is still valid."""
    master_key: str | None
    """Id of the master key; None for an endpoint that was never used."""


class Due(msgspec.Struct, frozen=True):
    """A delivery that is locked to be claimed. It has a body from its first claim on."""

    id: UUID
    endpoint: Endpoint
    event: str
    url: str
    origin: str
    failures: int
    created_at: datetime
    snapshot: bytes | None
    """None if the content is the body, or the row of a job that has not changed."""
    body: bytes | None


class Delivery(msgspec.Struct, frozen=True):
    """A claimed delivery. Its attempt is in the log."""

    id: UUID
    endpoint: Endpoint
    url: str
    origin: str
    failures: int
    """Failed attempts since the schedule began, without this one."""
    body: bytes
    number: int
    """Number of the attempt."""
    token: UUID
    created_at: datetime
    """When the event happened."""


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an attempt, and what becomes of its delivery. Durations in milliseconds."""

    id: UUID
    number: int
    token: UUID
    outcome: DeliveryOutcome
    status: DeliveryStatus
    pause: float | None = None
    """Seconds until the next attempt of a pending delivery."""
    disables: bool = False
    """Whether it disables its endpoint, if that is a standing one."""
    status_code: int | None = None
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    error: str | None = None
    response: bytes | None = None
