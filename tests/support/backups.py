"""Backups of a database, and going back to one."""

from urllib.parse import urlsplit

import asyncpg

from operations.migrate import set_session_defaults
from tests.support.endpoints import unique, with_path


async def back_up(url: str) -> str:
    """Keep the database as it is now; the backup's name. Who is connected is cut off for a moment."""
    name, backup = _name(url), unique("backup")
    server = await asyncpg.connect(with_path(url, "postgres"))
    try:
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name)
        await server.execute(f'CREATE DATABASE "{backup}" TEMPLATE "{name}"')
        await server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    finally:
        await server.close()
    return backup


async def restore(url: str, backup: str) -> None:
    """Put the backup in the database's place, whoever is connected to that."""
    name = _name(url)
    server = await asyncpg.connect(with_path(url, "postgres"))
    try:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.execute(f'ALTER DATABASE "{backup}" RENAME TO "{name}"')
    finally:
        await server.close()
    await set_session_defaults(url)


def _name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
