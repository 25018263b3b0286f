"""When keys were last used: noted by requests, written in the background, at most once a minute a key."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime

import asyncpg
import pytest
from cachetools import TTLCache

from chassis.errors import DatabaseUnavailableError
from chassis.key_use import BATCH, MOST_NOTED, NOTED_SECONDS, KeyUse
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from tests.support.clocks import Clock
from tests.support.keys import insert_key
from tests.support.ports import free_port

LAST_USED = "SELECT last_used_at FROM api_keys WHERE id = $1"
AGE = "UPDATE api_keys SET last_used_at = now() - $2::float * interval '1 second' WHERE id = $1"


async def used_at(rows: asyncpg.Connection, key_id: str) -> datetime | None:
    at: datetime | None = await rows.fetchval(LAST_USED, key_id)
    return at


async def write(pool: Database, key_id: str) -> None:
    """Note a use in a process that has noted none before, and write it."""
    use = KeyUse(pool)
    use.note(key_id)
    await use.run_once()


async def test_a_use_is_written_in_the_next_round(pool: Database, rows: asyncpg.Connection) -> None:
    """Of the keys that were used, and of no other."""
    used, other = await insert_key(rows), await insert_key(rows)
    await write(pool, used.id)
    assert await used_at(rows, used.id) is not None
    assert await used_at(rows, other.id) is None


@pytest.mark.parametrize(("age", "written"), [(NOTED_SECONDS - 5, False), (NOTED_SECONDS + 5, True)])
async def test_another_process_writes_a_key_a_minute_later(
    pool: Database, rows: asyncpg.Connection, age: float, written: bool
) -> None:
    """The row decides for all processes."""
    key = await insert_key(rows)
    await rows.execute(AGE, key.id, age)
    before = await used_at(rows, key.id)
    await write(pool, key.id)
    assert (await used_at(rows, key.id) != before) is written


async def test_a_process_keeps_quiet_for_a_minute(
    pool: Database, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in steady use costs a statement a minute."""
    clock = Clock()
    monkeypatch.setattr("chassis.key_use.TTLCache", lambda size, ttl: TTLCache(size, ttl, timer=clock))
    key, use = await insert_key(rows), KeyUse(pool)
    use.note(key.id)
    await use.run_once()
    await rows.execute("UPDATE api_keys SET last_used_at = NULL")
    clock.seconds = NOTED_SECONDS - 1
    use.note(key.id)
    await use.run_once()
    assert await used_at(rows, key.id) is None
    clock.seconds = NOTED_SECONDS + 1
    use.note(key.id)
    await use.run_once()
    assert await used_at(rows, key.id) is not None


async def test_processes_that_write_together_write_once(database: str, rows: asyncpg.Connection) -> None:
    """Ten at once neither wait for each other for long nor write a row twice."""
    keys = [(await insert_key(rows)).id for _ in range(20)]
    async with AsyncExitStack() as stack:
        settings = DatabaseSettings(database_url=database)
        pools = [await stack.enter_async_context(Database(settings, f"test-{n}")) for n in range(10)]
        await asyncio.gather(*(_write_all(pool, keys) for pool in pools))
    versions = await rows.fetch("SELECT last_used_at, xmax FROM api_keys")
    assert all(row["last_used_at"] is not None for row in versions)
    assert await rows.fetchval("SELECT count(DISTINCT xmin::text) FROM api_keys") <= len(keys)


async def _write_all(pool: Database, keys: list[str]) -> None:
    use = KeyUse(pool)
    for key in keys:
        use.note(key)
    await use.run_once()


async def test_many_keys_are_written_in_bounded_batches(pool: Database) -> None:
    """And no more than MOST_NOTED are remembered, whatever comes."""
    use = KeyUse(pool)
    for number in range(MOST_NOTED + 10):
        use.note(f"k{number}")
    rounds = 1
    while await use.run_once():
        rounds += 1
    assert rounds == MOST_NOTED // BATCH


async def test_a_failed_round_is_repeated() -> None:
    """Nothing is forgotten while the database is away, and `note` never raises."""
    nowhere = f"postgresql://user:password@127.0.0.1:{free_port()}/nothing"
    database = Database(DatabaseSettings(database_url=nowhere), "test")
    async with database:
        use = KeyUse(database)
        use.note("key")
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError):
                await use.run_once()
