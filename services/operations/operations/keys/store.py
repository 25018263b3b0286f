"""The tables `tenants` and `api_keys`."""

from datetime import datetime, timedelta
from uuid import UUID

from chassis.keys import ApiKey
from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api import Scope
from operations.keys.records import KeyRecord

queries = load_queries("operations.keys")


async def ensure_tenant(connection: Connection, name: str) -> UUID:
    """Return the id of a tenant, which is made if it does not exist."""
    tenant_id: UUID = await queries.ensure_tenant(connection, name=name)
    return tenant_id


async def insert_key(
    connection: Connection, key: ApiKey, tenant_id: UUID, name: str, lifetime: timedelta | None
) -> tuple[datetime, datetime | None]:
    """Record a key. Return when it was created and when it expires, by the database's clock."""
    row = await queries.insert_key(
        connection,
        id=key.id,
        tenant_id=tenant_id,
        scope=key.scope,
        name=name,
        secret_hash=key.secret_hash,
        lifetime=lifetime,
    )
    return row["created_at"], row["expires_at"]


async def list_keys(connection: Connection) -> list[KeyRecord]:
    """Return all keys, the oldest first."""
    return [_record(row) async for row in queries.list_keys(connection)]


async def revoke_key(connection: Connection, key_id: str) -> KeyRecord | None:
    """Revoke a key. Return None if it does not exist."""
    row = await queries.revoke_key(connection, id=key_id)
    return _record(row) if row else None


def _record(row: Row) -> KeyRecord:
    return KeyRecord(**{**row, "scope": Scope(row["scope"])})
