"""API keys: made, listed, revoked."""

import re
from datetime import datetime, timedelta

import msgspec

from chassis.keys import ApiKey
from chassis.postgres import Database
from darkroom_contracts.api import Scope
from operations import store
from operations.records import KeyRecord

TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_NAME_LENGTH = 100


class KeyRequestError(ValueError):
    """The key can't be made, or there is none; the message says what to do."""


class NewKey(msgspec.Struct, frozen=True):
    """A key in the clear: the only time that it is shown."""

    id: str
    key: str
    scope: Scope
    name: str
    tenant: str
    created_at: datetime
    expires_at: datetime | None


async def create_key(database: Database, scope: Scope, name: str, tenant: str, lifetime: timedelta | None) -> NewKey:
    """Make a key, and its tenant where that is missing. A `lifetime` of None never ends. Raises KeyRequestError."""
    if not TENANT_NAME.fullmatch(tenant):
        raise KeyRequestError(
            "A tenant's name has 1 to 63 small letters, digits and dashes, and starts without a dash."
        )
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise KeyRequestError(f"A key's name has 1 to {MAX_NAME_LENGTH} printable characters.")
    key = ApiKey.generate(scope)
    async with database.transaction() as connection:
        tenant_id = await store.ensure_tenant(connection, tenant)
        created_at, expires_at = await store.insert_key(connection, key, tenant_id, name, lifetime)
    return NewKey(key.id, key.reveal(), scope, name, tenant, created_at, expires_at)


async def list_keys(database: Database) -> list[KeyRecord]:
    """All keys, oldest first, revoked and expired ones included."""
    async with database.connection() as connection:
        return await store.list_keys(connection)


async def revoke_key(database: Database, id_or_key: str) -> KeyRecord:
    """Revoke a key by its id, or by the key itself where that leaked. Doing it twice changes nothing.

    Raises KeyRequestError for an unknown one.
    """
    whole = ApiKey.parse(id_or_key)
    async with database.connection() as connection:
        record = await store.revoke_key(connection, whole.id if whole else id_or_key)
    if record is None:
        raise KeyRequestError("There is no such key; `darkroom keys list` shows all.")
    return record
