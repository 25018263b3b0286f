"""The tables `tenants` and `api_keys`, and the jobs of revoked keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from chassis.keys import ApiKey
from chassis.postgres import Connection, Row, load_queries
from darkroom_contracts.api import Scope
from darkroom_contracts.api.keys import EXPIRING_DAYS, IN_USE_DAYS, ApiKeyQuery, ApiKeyView, KeyStatus
from operations.keys.records import Expiry, Position, Walked

queries = load_queries("operations.keys")

_STATUSES = {KeyStatus.ACTIVE: [KeyStatus.ACTIVE, KeyStatus.EXPIRING]}


async def ensure_tenant(connection: Connection, name: str) -> UUID:
    """Return the id of a tenant, which is made if it does not exist."""
    tenant_id: UUID = await queries.ensure_tenant(connection, name=name)
    return tenant_id


async def insert_key(
    connection: Connection, key: ApiKey, tenant_id: UUID, name: str, lifetime: timedelta | None
) -> None:
    """Record a key."""
    await queries.insert_key(
        connection,
        id=key.id,
        tenant_id=tenant_id,
        scope=key.scope,
        name=name,
        secret_hash=key.secret_hash,
        lifetime=lifetime,
    )


async def insert_successor(connection: Connection, key: ApiKey, replaces: str, lifetime: timedelta | None) -> None:
    """Record a key that is as another one, but for its secret. Without a `lifetime` it has that of the other."""
    await queries.insert_successor(
        connection, id=key.id, secret_hash=key.secret_hash, lifetime=lifetime, replaces=replaces
    )


async def read_keys(connection: Connection, query: ApiKeyQuery, at_most: int) -> list[ApiKeyView]:
    """Return the keys that match a query, the newest first, after the key that its cursor names."""
    return await _read(
        connection,
        id=query.id,
        tenant=query.tenant,
        scope=query.scope,
        statuses=query.status and _STATUSES.get(query.status, [query.status]),
        before=query.cursor,
        within=query.expiring_within_days and timedelta(days=query.expiring_within_days),
        at_most=at_most,
    )


async def find_key(connection: Connection, key_id: str) -> ApiKeyView | None:
    """Return a key, or None if it does not exist."""
    for found in await _read(connection, id=key_id, at_most=1):
        return found
    return None


async def count_by_expiry(connection: Connection) -> dict[Scope, Expiry]:
    """Count the keys that expire soon, and the expired ones in use, by scope."""
    rows = queries.count_by_expiry(
        connection, expiring=timedelta(days=EXPIRING_DAYS), in_use=timedelta(days=IN_USE_DAYS)
    )
    return {Scope(row["scope"]): Expiry(row["expiring"], row["expired_in_use"]) async for row in rows}


async def lock_key(connection: Connection, key_id: str) -> bool:
    """Lock a key. Return False if it does not exist."""
    return await queries.lock_key(connection, id=key_id) is not None


async def replace_key(connection: Connection, key_id: str, replaced_by: str, overlap: timedelta) -> None:
    """Name the successor of a key, and let the key expire after the overlap at the latest."""
    await queries.replace_key(connection, id=key_id, replaced_by=replaced_by, overlap=overlap)


async def revoke_key(connection: Connection, key_id: str, *, cancels_jobs: bool) -> None:
    """Revoke a key, and mark its unfinished jobs for cancellation."""
    await queries.revoke_key(connection, id=key_id, cancels_jobs=cancels_jobs)


async def find_canceling(connection: Connection) -> tuple[list[str], datetime | None]:
    """Return the revoked keys whose jobs are to be canceled, and the time, None without any."""
    rows = [row async for row in queries.find_canceling(connection)]
    return [row["id"] for row in rows], rows[0]["at"] if rows else None


async def end_canceling(connection: Connection, keys: Sequence[str], began_at: datetime, settled: timedelta) -> None:
    """Remove the mark of those keys that had been revoked for `settled` at `began_at`."""
    await queries.end_canceling(connection, ids=keys, began_at=began_at, settled=settled)


async def cancel_waiting(connection: Connection, keys: Sequence[str], after: Position, at_most: int) -> Walked:
    """Cancel the keys' jobs among the next `at_most` queued jobs of all keys."""
    row = await queries.cancel_waiting(connection, keys=keys, **after._asdict(), at_most=at_most)
    last = Position(row["queue"], row["queued_at"], row["id"]) if row["id"] else None
    return Walked(row["found"], row["canceled"], last)


async def request_cancels(connection: Connection, keys: Sequence[str]) -> int:
    """Ask the workers that render the keys' jobs to stop. Return how many jobs that are."""
    asked: int = await queries.request_cancels(connection, keys=keys)
    return asked


async def _read(connection: Connection, **filters: object) -> list[ApiKeyView]:
    absent = dict.fromkeys(("id", "tenant", "scope", "statuses", "before", "within"))
    rows = queries.read_keys(connection, **absent | filters, expiring=timedelta(days=EXPIRING_DAYS))
    return [_view(row) async for row in rows]


def _view(row: Row) -> ApiKeyView:
    return ApiKeyView(**{**row, "scope": Scope(row["scope"]), "status": KeyStatus(row["status"])})
