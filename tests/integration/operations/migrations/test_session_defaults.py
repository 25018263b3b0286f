"""Session defaults of roles in a database, which every run of the migrations sets."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_contracts.schema import migrations
from darkroom_local.program import base_environment
from operations.migrations.migrate import migrate
from operations.migrations.migrator import MigrationError
from tests.support.children import Child
from tests.support.commands import darkroom
from tests.support.endpoints import unique
from tests.support.ports import free_port
from tests.support.services import Services
from tests.support.waiting import eventually

DEFAULTS = {
    "jit": "off",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
FREED_SECONDS = 15
SETTINGS_OF = """
    SELECT unnest(setconfig) AS setting, pg_db_role_setting.xmin::text AS written FROM pg_db_role_setting
    JOIN pg_database ON pg_database.oid = setdatabase JOIN pg_roles ON pg_roles.oid = setrole
    WHERE datname = current_database() AND rolname = $1 ORDER BY setting
"""
HOLD_A_LOCK = """
import asyncio, sys, asyncpg

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    async with connection.transaction():
        await connection.execute("UPDATE tenants SET created_at = now()")
        print("locked", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def shown(url: str) -> dict[str, str]:
    """Return the settings of a connection as services open it."""
    async with Database(DatabaseSettings(database_url=url), "test") as pool, pool.connection() as connection:
        return {name: await connection.fetchval(f"SHOW {name}") for name in DEFAULTS}


@pytest.fixture
async def role(services: Services) -> AsyncIterator[str]:
    """Create a role without rights, whose password is its name."""
    name = unique("role")
    connection = await asyncpg.connect(services.database.url)
    await connection.execute(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{name}'")
    yield name
    await connection.execute(f'DROP ROLE "{name}"')
    await connection.close()


@pytest.fixture
async def owned_database(services: Services, empty_database: str, role: str) -> AsyncIterator[str]:
    """Yield the URL of an empty database for the role that owns it."""
    parts = urlsplit(empty_database)
    name = parts.path.lstrip("/")
    connection = await asyncpg.connect(services.database.url)
    await connection.execute(f'ALTER DATABASE "{name}" OWNER TO "{role}"')
    yield urlunsplit(parts._replace(netloc=f"{role}:{role}@{parts.hostname}:{parts.port}"))
    await services.database.drop_database(empty_database)
    await connection.close()


async def settings_of(url: str, role: str) -> list[tuple[str, str]]:
    """Return the role's defaults in the database, each with the transaction that set it."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(SETTINGS_OF, role)]
    finally:
        await connection.close()


async def test_every_session_begins_with_them(database: str, empty_database: str) -> None:
    """Sessions have the defaults in a migrated database and in the copies that tests use."""
    assert await shown(database) == DEFAULTS
    assert await shown(empty_database) != DEFAULTS
    await migrate(empty_database)
    assert await shown(empty_database) == DEFAULTS


async def test_a_restored_database_gets_them_again(database: str, rows: asyncpg.Connection) -> None:
    """A run sets missing defaults, as after a restore, and a further run writes nothing."""
    role, name = await rows.fetchrow("SELECT current_user, current_database()")
    await rows.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" RESET ALL')
    assert await settings_of(database, role) == []
    assert await migrate(database) == []
    assert await shown(database) == DEFAULTS
    before = await settings_of(database, role)
    await migrate(database)
    assert await settings_of(database, role) == before


async def test_an_ordinary_role_may_migrate_its_database(owned_database: str) -> None:
    """A role that owns the database can migrate it and set its own defaults."""
    assert await migrate(owned_database) == migrations()
    assert await shown(owned_database) == DEFAULTS


async def test_another_role_of_services_gets_them_by_name(database: str, role: str) -> None:
    """`darkroom migrate --role` sets the defaults of a role that services connect as."""
    finished = await darkroom("migrate", "--role", role, DARKROOM_DATABASE_URL=database)
    assert finished.exit_code == 0, finished.err
    names = [setting.split("=")[0] for setting, _ in await settings_of(database, role)]
    assert names == sorted(DEFAULTS)


async def test_an_unknown_role_is_one_sentence(database: str) -> None:
    """An unknown role fails with a sentence that names the documentation."""
    with pytest.raises(MigrationError, match=r'role "nobody-of-that-name" does not exist.*docs/operating\.md'):
        await migrate(database, roles=["nobody-of-that-name"])


async def test_migrations_go_past_a_pooler(empty_database: str) -> None:
    """Migrations use the direct URL, since the lock between migrators belongs to a session."""
    pooler = f"postgresql://u:p@127.0.0.1:{free_port()}/none"
    finished = await darkroom("migrate", DARKROOM_DATABASE_URL=pooler, DARKROOM_DATABASE_DIRECT_URL=empty_database)
    assert finished.exit_code == 0, finished.err
    assert await shown(empty_database) == DEFAULTS


async def test_a_frozen_client_loses_its_locks(database: str, rows: asyncpg.Connection, tmp_path: Path) -> None:
    """A transaction of a stopped process ends, and its row locks are released within seconds."""
    await rows.execute("INSERT INTO tenants (name) VALUES ('locked')")
    holder = Child((sys.executable, "-c", HOLD_A_LOCK, database), base_environment(), tmp_path, tmp_path / "holder.log")
    try:
        await eventually(lambda: holder.tail() == "locked", what="it holds the row")
        holder.send(signal.SIGSTOP)
        with pytest.raises(asyncpg.LockNotAvailableError):
            await rows.execute("SELECT FROM tenants FOR UPDATE NOWAIT")
        async with asyncio.timeout(FREED_SECONDS):
            await rows.execute("UPDATE tenants SET created_at = now()")
    finally:
        holder.kill()
