"""The gauges of keys that need attention."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from chassis.postgres import Database
from darkroom_contracts.api import Scope
from operations.keys.gauges import KeyMetrics
from operations.metrics import KEYS_EXPIRED_IN_USE, KEYS_EXPIRING
from tests.support.keys import insert_key

USE = "UPDATE api_keys SET last_used_at = $2 WHERE id = $1"
REPLACE = "UPDATE api_keys SET replaced_by = $2 WHERE id = $1"


def expiring(scope: Scope) -> float:
    return KEYS_EXPIRING.labels(scope)._value.get()  # type: ignore[no-any-return]


def in_use(scope: Scope) -> float:
    return KEYS_EXPIRED_IN_USE.labels(scope)._value.get()  # type: ignore[no-any-return]


async def test_keys_that_expire_soon_are_counted_by_scope(pool: Database, rows: asyncpg.Connection) -> None:
    """Those that work, within 14 days; a key that has a successor expires on purpose."""
    now = datetime.now(UTC)
    for days in (1, 13, 15, -1):
        await insert_key(rows, expires_at=now + timedelta(days=days))
    await insert_key(rows, scope=Scope.OPERATOR)
    await insert_key(rows, scope=Scope.OPERATOR, expires_at=now + timedelta(days=1), revoked_at=now)
    old, new = [await insert_key(rows, expires_at=now + timedelta(days=1)) for _ in range(2)]
    await rows.execute(REPLACE, old.id, new.id)
    await KeyMetrics(pool).run_once()
    assert [expiring(scope) for scope in (Scope.CLIENT, Scope.OPERATOR, Scope.OBSERVER)] == [3, 0, 0]


@pytest.mark.parametrize(
    ("expired", "used", "counted"), [(2, 1, 1), (2, 3, 0), (30, 25, 0), (30, 23, 1), (-1, 1, 0), (2, None, 0)]
)
async def test_expired_keys_in_use_are_counted(
    pool: Database, rows: asyncpg.Connection, expired: int, used: int | None, counted: int
) -> None:
    """Hours ago: sent after the expiry, and within the last day."""
    now = datetime.now(UTC)
    key = await insert_key(rows, scope=Scope.OBSERVER, expires_at=now - timedelta(hours=expired))
    await rows.execute(USE, key.id, None if used is None else now - timedelta(hours=used))
    await KeyMetrics(pool).run_once()
    assert in_use(Scope.OBSERVER) == counted


async def test_the_gauges_go_back(pool: Database, rows: asyncpg.Connection) -> None:
    """To 0 when the last key is revoked."""
    key = await insert_key(rows, scope=Scope.OPERATOR, expires_at=datetime.now(UTC) + timedelta(days=1))
    metrics = KeyMetrics(pool)
    await metrics.run_once()
    assert expiring(Scope.OPERATOR) == 1
    await rows.execute("UPDATE api_keys SET revoked_at = now() WHERE id = $1", key.id)
    assert await metrics.run_once() is False
    assert expiring(Scope.OPERATOR) == 0
