"""API keys for tests, written as rows."""

from datetime import datetime
from typing import Any

import asyncpg

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope


async def insert_key(
    rows: asyncpg.Connection,
    tenant: str = "default",
    *,
    key: ApiKey | None = None,
    scope: Scope = Scope.CLIENT,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> ApiKey:
    """Store a key, new unless one is given, of the tenant, which is created if it does not exist."""
    key = key or ApiKey.generate(scope)
    await rows.execute("INSERT INTO tenants (name) VALUES ($1) ON CONFLICT DO NOTHING", tenant)
    await rows.execute(
        "INSERT INTO api_keys (id, tenant_id, scope, name, secret_hash, expires_at, revoked_at)"
        " SELECT $2, id, $3, 'test', $4, $5, $6 FROM tenants WHERE name = $1",
        tenant,
        key.id,
        key.scope,
        key.secret_hash,
        expires_at,
        revoked_at,
    )
    return key


async def make_key(database: str, tenant: str = "default", **properties: Any) -> str:
    """As `insert_key`, for those without a connection; the key as a client sends it."""
    rows = await asyncpg.connect(database)
    try:
        return (await insert_key(rows, tenant, **properties)).reveal()
    finally:
        await rows.close()
