"""The database as the migrator sees it."""

from collections.abc import Sequence

import msgspec
from asyncpg import Connection

from chassis.postgres import load_queries
from operations.migrations.records import AppliedMigration

queries = load_queries("operations.migrations")


async def set_lock_timeout(connection: Connection, seconds: float) -> None:
    """Limit every wait for a lock in this session; 0 sets no limit."""
    await queries.set_lock_timeout(connection, timeout=f"{seconds * 1000:.0f}ms")


async def try_lock_migrations(connection: Connection) -> bool:
    """Take the lock between migrators, held until the session ends. Return False while another session holds it."""
    return bool(await queries.try_lock_migrations(connection))


async def create_schema_migrations(connection: Connection) -> None:
    """Create the table of applied migrations unless it exists."""
    await queries.create_schema_migrations(connection)


async def invalid_indexes(connection: Connection, migration: str) -> list[tuple[str, str]]:
    """Return the invalid indexes that a migration's text names, each with the statement that drops it."""
    return [(row["name"], row["drop"]) async for row in queries.invalid_indexes(connection, migration=migration)]


async def oldest_transaction(connection: Connection, besides: int = 0) -> str:
    """Describe in a sentence the oldest open transaction, this session's and that of the process `besides` excepted."""
    row = await queries.oldest_transaction(connection, besides=besides)
    if row is None:
        return "No other transaction is open."
    session = f"{row['application'] or 'a session'} (pid {row['pid']}, role {row['role']})"
    return f"The oldest open transaction is that of {session}, {row['age']:.0f} s old."


async def set_session_defaults(connection: Connection, roles: Sequence[str]) -> None:
    """Set the session defaults of this session's role and of `roles` in this database, for later sessions."""
    for row in [row async for row in queries.session_defaults(connection, roles=list(roles))]:
        await connection.execute(row["statement"])


async def applied_migrations(connection: Connection) -> list[AppliedMigration]:
    """Return the applied migrations in order."""
    return [AppliedMigration(**row) async for row in queries.applied_migrations(connection)]


async def record_migration(connection: Connection, applied: AppliedMigration) -> None:
    """Record that a migration was applied."""
    await queries.record_migration(connection, **msgspec.structs.asdict(applied))
