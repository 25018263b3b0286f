"""Comparing the master keys with those that the database has seen."""

import asyncio

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings, SettingsError
from tests.integration.webhooks.http_api import NEW_KEY, OLD_KEY
from tests.support.fixtures import DatabaseFactory
from webhooks.registry.key_guard import KeyGuard
from webhooks.secrets import MasterKeys

CHANGED = f"old:{'77' * 32}"


async def test_a_key_is_recorded_once(pool: Database, rows: asyncpg.Connection) -> None:
    """Its order in the settings does not matter, and its bytes are not in the row."""
    for texts in ([OLD_KEY], [NEW_KEY, OLD_KEY], [OLD_KEY, NEW_KEY]):
        await KeyGuard(pool, MasterKeys(texts)).check()
    found = await rows.fetch("SELECT id, fingerprint FROM webhook_master_keys ORDER BY id")
    assert [row["id"] for row in found] == ["new", "old"]
    assert bytes.fromhex("0d" * 32) not in {row["fingerprint"] for row in found}


async def test_another_key_under_a_known_id_is_refused(pool: Database) -> None:
    """Each one is named, and no bytes are quoted."""
    await KeyGuard(pool, MasterKeys([OLD_KEY])).check()
    with pytest.raises(SettingsError, match="MASTER_KEYS: old named another key before") as refused:
        await KeyGuard(pool, MasterKeys([NEW_KEY, CHANGED])).check()
    assert "7777" not in str(refused.value)


@pytest.mark.chaos
async def test_without_a_database_it_is_checked_later(private_postgres: DatabaseFactory) -> None:
    """The service starts, and ends as soon as the database shows that a key is another one."""
    server = await private_postgres()
    url = await server.create_database()
    async with Database(DatabaseSettings(database_url=url), "webhooks-test") as pool:
        await KeyGuard(pool, MasterKeys([OLD_KEY])).check()
        await server.kill()
        guard = KeyGuard(pool, MasterKeys([CHANGED]))
        await guard.check()
        running = asyncio.create_task(guard.run(asyncio.Event()))
        await server.start()
        with pytest.raises(SettingsError, match="old named another key before"):
            async with asyncio.timeout(60):
                await running
