"""Create, list, rotate and revoke API keys. Each act is recorded in the audit log."""

import re
from datetime import timedelta
from typing import Any

import msgspec

from chassis.cursor import MalformedCursorError
from chassis.keys import ApiKey
from chassis.postgres import Connection, Database
from darkroom_contracts.api import Scope
from darkroom_contracts.api.keys import ApiKeyList, ApiKeyQuery, ApiKeyView, KeyStatus, NewApiKey
from operations.audit.log import Action, record
from operations.errors import ConflictError, InvalidRequestError, NotFoundError
from operations.keys import store

TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_NAME_LENGTH = 100
_KEY_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


class InvalidNameError(InvalidRequestError):
    """The name of a tenant or of a key is invalid."""


class UnknownKeyError(NotFoundError):
    """The key does not exist."""

    def __init__(self) -> None:
        super().__init__("There is no such key; `darkroom keys list` shows all.")


class InactiveKeyError(ConflictError):
    """The key can't be rotated, because it does not work or has a successor."""


async def create_key(
    database: Database,
    actor: str,
    scope: Scope,
    name: str,
    tenant: str,
    lifetime: timedelta | None,
    reason: str | None = None,
) -> NewApiKey:
    """Make a key, and its tenant if that does not exist. Without a `lifetime` it never expires.

    Raises InvalidNameError.
    """
    if not TENANT_NAME.fullmatch(tenant):
        raise InvalidNameError(
            "A tenant's name has 1 to 63 small letters, digits and dashes, and does not start with a dash."
        )
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise InvalidNameError(f"A key's name has 1 to {MAX_NAME_LENGTH} printable characters.")
    key = ApiKey.generate(scope)
    async with database.transaction() as connection:
        tenant_id = await store.ensure_tenant(connection, tenant)
        await store.insert_key(connection, key, tenant_id, name, lifetime)
        made = await _find(connection, key.id)
        await record(connection, actor, Action.CREATE_KEY, key.id, reason=reason, after=_audited(made))
    return _with_secret(made, key)


async def list_keys(database: Database, query: ApiKeyQuery) -> ApiKeyList:
    """Return a page of keys, the newest first, with revoked and expired ones. Raises MalformedCursorError."""
    if query.cursor is not None and not _KEY_ID.fullmatch(query.cursor):
        raise MalformedCursorError
    async with database.connection() as connection:
        found = await store.read_keys(connection, query, query.limit + 1)
    page = found[: query.limit]
    return ApiKeyList(page, page[-1].id if len(found) > len(page) else None)


async def rotate_key(
    database: Database,
    actor: str,
    key_id: str,
    overlap: timedelta,
    lifetime: timedelta | None,
    reason: str | None,
) -> NewApiKey:
    """Make the successor of a key, which itself works for the overlap, and not beyond its expiry.

    Without a `lifetime` the new key has that of the old one. Raises UnknownKeyError and InactiveKeyError.
    """
    async with database.transaction() as connection:
        old = await _lock(connection, key_id)
        _check_rotatable(old)
        key = ApiKey.generate(old.scope)
        await store.insert_successor(connection, key, key_id, lifetime)
        await store.replace_key(connection, key_id, key.id, overlap)
        made, replaced = await _find(connection, key.id), await _find(connection, key_id)
        await _record_change(connection, actor, Action.ROTATE_KEY, old, replaced, reason)
        await record(connection, actor, Action.CREATE_KEY, key.id, reason=reason, after=_audited(made))
    return _with_secret(made, key)


async def revoke_key(
    database: Database, actor: str, id_or_key: str, *, cancel_jobs: bool = False, reason: str | None = None
) -> ApiKeyView:
    """Revoke a key, named by its id or by the key itself, and mark its unfinished jobs for cancellation if asked to.

    Revoking it again changes nothing. Raises UnknownKeyError.
    """
    key = ApiKey.parse(id_or_key)
    key_id = key.id if key else id_or_key
    async with database.transaction() as connection:
        before = await _lock(connection, key_id)
        await store.revoke_key(connection, key_id, cancels_jobs=cancel_jobs)
        after = await _find(connection, key_id)
        if after != before:
            await _record_change(connection, actor, Action.REVOKE_KEY, before, after, reason)
    return after


async def _lock(connection: Connection, key_id: str) -> ApiKeyView:
    if not _KEY_ID.fullmatch(key_id) or not await store.lock_key(connection, key_id):
        raise UnknownKeyError
    return await _find(connection, key_id)


async def _find(connection: Connection, key_id: str) -> ApiKeyView:
    found = await store.find_key(connection, key_id)
    if found is None:
        raise UnknownKeyError
    return found


def _check_rotatable(key: ApiKeyView) -> None:
    if key.replaced_by is not None:
        raise InactiveKeyError(f"The key was rotated before, and replaced by {key.replaced_by}. Rotate that one.")
    if key.status in (KeyStatus.REVOKED, KeyStatus.EXPIRED):
        raise InactiveKeyError(f"The key is {key.status}. Create a new one.")


async def _record_change(
    connection: Connection, actor: str, action: Action, before: ApiKeyView, after: ApiKeyView, reason: str | None
) -> None:
    """Record the fields that changed."""
    was, now = _audited(before), _audited(after)
    changed = [name for name in now if now[name] != was[name]]
    await record(
        connection,
        actor,
        action,
        before.id,
        reason=reason,
        before={name: was[name] for name in changed},
        after={name: now[name] for name in changed},
    )


def _audited(key: ApiKeyView) -> dict[str, Any]:
    """Return what the audit log holds of a key: all but its id, which is the subject, and its use."""
    fields: dict[str, Any] = msgspec.to_builtins(key)
    return {name: value for name, value in fields.items() if name not in ("id", "last_used_at")}


def _with_secret(made: ApiKeyView, key: ApiKey) -> NewApiKey:
    return NewApiKey(**msgspec.structs.asdict(made), key=key.reveal())
