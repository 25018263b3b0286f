"""What operations reads and writes. The only module that touches this package's queries.sql."""

from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
from chassis.keys import ApiKey
from chassis.postgres import Connection, load_queries
from contracts.api import Scope

T = TypeVar("T", bound=msgspec.Struct)

_queries = load_queries("operations")


class AppliedMigration(msgspec.Struct, frozen=True):
    version: int
    name: str
    sha256: str


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as it may be shown: never its secret."""

    id: str
    scope: Scope
    name: str
    tenant: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def lock_migrations(connection: Connection) -> None:
    """Make this session the only one that migrates, until it is closed."""
    await _queries.set_lock_timeout(connection)
    await _queries.lock_migrations(connection)
    await _queries.create_schema_migrations(connection)


async def applied_migrations(connection: Connection) -> list[AppliedMigration]:
    return [AppliedMigration(*row) async for row in _queries.applied_migrations(connection)]


async def record_migration(connection: Connection, applied: AppliedMigration) -> None:
    await _queries.record_migration(connection, **msgspec.structs.asdict(applied))


async def ensure_tenant(connection: Connection, name: str) -> UUID:
    tenant_id: UUID = await _queries.ensure_tenant(connection, name=name)
    return tenant_id


async def insert_key(
    connection: Connection, key: ApiKey, tenant_id: UUID, name: str, lifetime: timedelta | None
) -> tuple[datetime, datetime | None]:
    """Returns when the key was created and when it expires, by the database's clock."""
    row = await _queries.insert_key(
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
    return [msgspec.convert(dict(row), KeyRecord) async for row in _queries.list_keys(connection)]


async def revoke_key(connection: Connection, key_id: str) -> KeyRecord | None:
    """None where there is no such key."""
    row = await _queries.revoke_key(connection, id=key_id)
    return msgspec.convert(dict(row), KeyRecord) if row else None
