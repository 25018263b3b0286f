"""The audit log, as operators read it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from darkroom_contracts.api.jobs import Timestamp

MAX_ENTRIES = 200
"""Most entries in a page."""

_Term = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
_ANY = {"default": "any"}


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An act of an operator. Entries are never changed or removed."""

    id: Annotated[int, Meta(description="Grows with each entry.")]
    at: Annotated[Timestamp, Meta(description="When it was done.")]
    actor: Annotated[str, Meta(description="Id of the API key, or `command:` and the user of a command.")]
    actor_name: Annotated[str | None, Meta(description="Name of the API key; null for a command.")] = None
    action: Annotated[str, Meta(description="What was done, such as `key.revoke`.")]
    subject: Annotated[str, Meta(description="Id or name of what it was done to.")]
    reason: Annotated[str | None, Meta(description="Why, in the operator's words.")] = None
    before: Annotated[dict[str, Any] | None, Meta(description="What it changed, before.")] = None
    after: Annotated[dict[str, Any] | None, Meta(description="What it changed, afterwards.")] = None


class AuditList(msgspec.Struct, frozen=True):
    """A page of the audit log."""

    entries: Annotated[list[AuditEntry], Meta(description="The newest first.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of the audit log. A filter that nothing matches gives an empty list."""

    actor: Annotated[_Term | None, Meta(description="Only acts of this key or command.", extra=_ANY)] = None
    action: Annotated[_Term | None, Meta(description="Only acts of this kind.", extra=_ANY)] = None
    subject: Annotated[_Term | None, Meta(description="Only acts on this id or name.", extra=_ANY)] = None
    created_after: Annotated[Timestamp | None, Meta(description="Only acts at or after.", extra=_ANY)] = None
    created_before: Annotated[Timestamp | None, Meta(description="Only acts before.", extra=_ANY)] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_ENTRIES, description="Most entries of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the newest"}),
    ] = None
