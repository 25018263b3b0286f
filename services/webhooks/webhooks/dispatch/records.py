"""Destinations, deliveries and their completions, as dispatch handles them."""

from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus

NO_TENANT = UUID(int=0)
"""Stands for the operators, whose endpoints have no tenant."""
Place: TypeAlias = tuple[UUID, str]
"""Endpoint and recorded origin: where a destination lies among all."""
FIRST: Place = (UUID(int=0), "")
"""The place before the first destination."""


class Destination(msgspec.Struct, frozen=True):
    """The waiting deliveries of an endpoint to an origin."""

    endpoint_id: UUID
    recorded_origin: str
    """The origin that their rows have."""
    origin: str
    """The origin that they are sent to: another one if the endpoint's URL was changed."""
    tenant_id: UUID
    due_at: datetime
    """When the first of them is due."""
    ready: bool
    """Whether one is due, the endpoint is enabled and this process can sign for it."""
    abandoned: bool
    """Whether the endpoint was deleted or disabled, so that none will ever be sent."""
    unsignable: bool
    """Whether one would be ready, but for a master key that this process lacks."""
    failing: bool = False
    """Whether the log says that the latest attempt failed: of its endpoint, or of its first waiting delivery."""


def place_of(destination: Destination) -> Place:
    """Return where a destination lies among all, so that the next ones can be asked for."""
    return destination.endpoint_id, destination.recorded_origin


class Share(NamedTuple):
    """Permission to claim a destination's first deliveries."""

    destination: Destination
    at_most: int


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery needs of its endpoint to be signed and judged. Master keys are named by their ids."""

    id: UUID
    tenant_id: UUID
    implicit: bool
    url: str | None = None
    """Where a standing endpoint's deliveries are sent; None for an implicit one, whose jobs have URLs of their own."""
    rotation: int
    master_key: str | None
    """The secret's; None for an endpoint that was never used."""
    previous_master_key: str | None = None
    """That of the secret before the latest rotation, while it is still valid."""
    ed25519: bool = False
    """Whether deliveries also have a v1a signature."""
    headers: bytes | None = None
    """The static headers, encrypted."""
    headers_key: str | None = None
    failing: bool = False
    """Whether the attempts since its last success failed."""


class Due(msgspec.Struct, frozen=True):
    """A delivery that is locked to be claimed. It has a body from its first claim on."""

    id: UUID
    endpoint: Endpoint
    event: str
    url: str
    recorded_origin: str
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
    recorded_origin: str
    origin: str
    failures: int
    """Failed attempts since the schedule began, without this one."""
    body: bytes
    number: int
    """Number of the attempt."""
    token: UUID
    created_at: datetime
    """When the event happened."""


def destination_of(delivery: Delivery) -> Destination:
    """Return the destination of a delivery, as one that has more to send."""
    return Destination(
        delivery.endpoint.id,
        delivery.recorded_origin,
        delivery.origin,
        delivery.endpoint.tenant_id,
        due_at=delivery.created_at,
        ready=True,
        abandoned=False,
        unsignable=False,
    )


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an attempt, and what becomes of its delivery. Durations in milliseconds."""

    id: UUID
    endpoint: Endpoint
    number: int
    token: UUID
    outcome: DeliveryOutcome
    status: DeliveryStatus
    pause: float | None = None
    """Seconds until the next attempt of a pending delivery."""
    gone: bool = False
    """Whether the receiver said that it is gone for good, which disables a standing endpoint."""
    status_code: int | None = None
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    error: str | None = None
    response: bytes | None = None


class Ended(NamedTuple):
    """A delivery that was not received and is not sent again."""

    id: UUID
    dead_lettered: bool
    """Whether it has a dead letter, which its end may resolve."""


class EndpointOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch of attempts showed of a standing endpoint."""

    endpoint_id: UUID
    url: str | None
    """Where they were sent; says nothing of an endpoint that has another URL by now."""
    works: bool
    """Whether one of them succeeded."""
    gone: bool = False
    confirmed: bool = False
    """Whether this process has seen nothing but failures for a while."""
    error: str | None = None
    """Why the last of them failed."""


class EndpointAlarm(NamedTuple):
    """A standing endpoint that operators get an event about."""

    endpoint_id: UUID
    disabled: bool
    reason: str
