"""A database with many dead letters."""

from pathlib import Path
from typing import Any

import aiosql
import asyncpg

from bench.progress import Progress

TENANTS = 50
GROUPS = 250
"""Kinds of failure; each is a group in each of four models, and of orphans."""
CHUNK = 50_000
SECONDS = 600

queries: Any = aiosql.from_path(Path(__file__).parent / "queries.sql", "asyncpg")


async def fill(database: asyncpg.Connection, letters: int, progress: Progress) -> None:
    """Insert dead letters with their groups and hours. Triggers rest, since folding a million deltas takes long."""
    await queries.make_tenants(database, tenants=TENANTS)
    await queries.rest_triggers(database)
    for first in range(1, letters + 1, CHUNK):
        count = min(CHUNK, letters + 1 - first)
        await queries.add_letters(database, first=first, count=count, total=letters, groups=GROUPS)
    await queries.resume_triggers(database)
    progress(f"{letters:,} letters are in")
    await database.execute("SET statement_timeout = 0")
    await queries.add_groups(database)
    await queries.add_hours(database)
    await database.execute("VACUUM ANALYZE", timeout=SECONDS)
    progress("groups are in")
