"""Create, list and revoke API keys."""

import re
from datetime import timedelta

from chassis.keys import ApiKey
from chassis.postgres import Database
from darkroom_contracts.api import Scope
from operations.errors import InvalidRequestError, NotFoundError
from operations.keys import store
from operations.keys.records import KeyRecord, NewKey

TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
MAX_NAME_LENGTH = 100


class InvalidNameError(InvalidRequestError):
    """The name of a tenant or of a key is invalid."""


class UnknownKeyError(NotFoundError):
    """The key does not exist."""


async def create_key(database: Database, scope: Scope, name: str, tenant: str, lifetime: timedelta | None) -> NewKey:
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
        created_at, expires_at = await store.insert_key(connection, key, tenant_id, name, lifetime)
    return NewKey(key.id, key.reveal(), scope, name, tenant, created_at, expires_at)


async def list_keys(database: Database) -> list[KeyRecord]:
    """Return all keys, the oldest first, with revoked and expired ones."""
    async with database.connection() as connection:
        return await store.list_keys(connection)


async def revoke_key(database: Database, id_or_key: str) -> KeyRecord:
    """Revoke a key, named by its id or by the key itself. Revoking it again changes nothing. Raises UnknownKeyError."""
    key = ApiKey.parse(id_or_key)
    async with database.connection() as connection:
        record = await store.revoke_key(connection, key.id if key else id_or_key)
    if record is None:
        raise UnknownKeyError("There is no such key; `darkroom keys list` shows all.")
    return record
