"""API keys, as operators make, list, rotate and revoke them."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from darkroom_contracts.api.common import Scope
from darkroom_contracts.api.jobs import Timestamp

MAX_KEYS = 200
"""Most keys in a page."""
MAX_LIFETIME_DAYS = 3650
MAX_OVERLAP_HOURS = 30 * 24
EXPIRING_DAYS = 14
"""Days before its expiry from which a key is `expiring`."""
IN_USE_DAYS = 1
"""Days for which an expired key counts as in use after somebody sent it."""

TenantName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)")]
KeyName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
KeyId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]{1,64}$(?!\n)")]
Why = Annotated[str, Meta(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
"""A reason for the audit log. Without NUL, which Postgres refuses."""
_ANY = {"default": "any"}


class KeyStatus(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRING = "expiring"
    """Works, and expires within EXPIRING_DAYS."""
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret."""

    id: Annotated[str, Meta(description="Public part of the key, by which the audit log names it.")]
    scope: Annotated[Scope, Meta(description="What the key allows.")]
    name: Annotated[str, Meta(description="Who or what uses the key.")]
    tenant: Annotated[str, Meta(description="Whose jobs and webhooks the key sees.")]
    status: Annotated[
        KeyStatus,
        Meta(description=f"Whether it works; `expiring` from {EXPIRING_DAYS} days before `expires_at`."),
    ]
    created_at: Annotated[Timestamp, Meta(description="When it was made.")]
    expires_at: Annotated[Timestamp | None, Meta(description="From when it is refused; null for never.")] = None
    revoked_at: Annotated[Timestamp | None, Meta(description="When it was revoked.")] = None
    last_used_at: Annotated[
        Timestamp | None,
        Meta(description="When it was last sent, to about a minute, after its expiry too; null for never."),
    ] = None
    replaced_by: Annotated[str | None, Meta(description="Id of the key that a rotation made in its place.")] = None
    cancels_jobs: Annotated[
        bool, Meta(description="Whether its jobs are still being canceled, as its revocation asked for.")
    ] = False


class NewApiKey(ApiKeyView, frozen=True, kw_only=True):
    """A new key with its secret."""

    key: Annotated[str, Meta(description="The key as clients send it. It can't be shown again: only a hash is stored.")]


class ApiKeyList(msgspec.Struct, frozen=True):
    """A page of keys."""

    keys: Annotated[list[ApiKeyView], Meta(description="The newest first.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class ApiKeyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of keys. A filter that nothing matches gives an empty list."""

    id: Annotated[KeyId | None, Meta(description="Only the key with this id.", extra=_ANY)] = None
    tenant: Annotated[TenantName | None, Meta(description="Only keys of the tenant of this name.", extra=_ANY)] = None
    scope: Annotated[Scope | None, Meta(description="Only keys of this scope.", extra=_ANY)] = None
    status: Annotated[
        KeyStatus | None, Meta(description="Only keys of this status; `active` includes `expiring`.", extra=_ANY)
    ] = None
    expiring_within_days: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_LIFETIME_DAYS)] | None,
        Meta(description="Only keys that work, and expire within this many days.", extra=_ANY),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_KEYS, description="Most keys of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the newest"}),
    ] = None


class ApiKeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that makes a key."""

    scope: Annotated[Scope, Meta(description="What the key allows.")]
    name: Annotated[KeyName, Meta(description="Who or what will use the key.")]
    tenant: Annotated[TenantName, Meta(description="Whose jobs and webhooks it sees; made if it does not exist.")] = (
        "default"
    )
    expires_in_days: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_LIFETIME_DAYS)] | None, Meta(description="Days until it expires; null: never.")
    ] = None
    reason: Annotated[Why | None, Meta(description="Why, for the audit log.")] = None


class RotationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that rotates a key."""

    overlap_hours: Annotated[
        float,
        Meta(ge=0, le=MAX_OVERLAP_HOURS, description="Hours that the old key works on, unless it expires earlier."),
    ] = 24.0
    expires_in_days: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_LIFETIME_DAYS)] | None,
        Meta(description="Days until the new key expires; null: as long after now as the old one had from the start."),
    ] = None
    reason: Annotated[Why | None, Meta(description="Why, for the audit log.")] = None


class RevocationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that revokes a key."""

    cancel_queued: Annotated[
        bool, Meta(description="Whether to cancel the key's jobs that have not ended, in the background.")
    ] = False
    reason: Annotated[Why | None, Meta(description="Why, for the audit log.")] = None
