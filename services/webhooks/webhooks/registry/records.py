"""Endpoints as the registry reads and writes them."""

from datetime import datetime
from uuid import UUID

import msgspec

from darkroom_contracts.states import EndpointAudience, EndpointStatus


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `webhook_endpoints` that was not deleted."""

    id: UUID
    tenant_id: UUID | None
    """None for an operators' endpoint."""
    audience: EndpointAudience
    implicit: bool
    url: str | None
    description: str
    events: tuple[str, ...]
    metadata_filter: dict[str, str]
    header_names: tuple[str, ...]
    headers: bytes | None
    """Encrypted under `headers_key`."""
    headers_key: str | None
    ed25519: bool
    rotation: int
    master_key: str | None
    """Id of the master key of the secret; None for an implicit endpoint that was never used."""
    previous_until: datetime | None
    """Until when the secret before the latest rotation is valid; None if it is not valid any more."""
    status: EndpointStatus
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A standing endpoint that is to be recorded."""

    id: UUID
    tenant_id: UUID | None
    audience: EndpointAudience
    url: str
    description: str
    events: tuple[str, ...]
    metadata_filter: dict[str, str]
    header_names: tuple[str, ...]
    headers: bytes | None
    headers_key: str | None
    ed25519: bool
    master_key: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest deliveries of an endpoint went. Durations in milliseconds: the median and the 95th percentile."""

    since: datetime
    deliveries: dict[str, int]
    """By status."""
    attempts: dict[str, int]
    """By outcome."""
    delivery_ms: tuple[float | None, float | None]
    attempt_ms: tuple[float | None, float | None]
    oldest_pending_at: datetime | None


class HeadersOf(msgspec.Struct, frozen=True):
    """The encrypted headers of an endpoint."""

    id: UUID
    headers: bytes
    headers_key: str


class KeyUse(msgspec.Struct, frozen=True):
    """How many endpoints use a master key."""

    master_key: str
    endpoints: int
