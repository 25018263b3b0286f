"""Brings a database to the current schema."""

import asyncio

from operations.migrations.migrate import migrate as apply_migrations


def migrate(url: str) -> None:
    """Apply every migration, as `darkroom migrate` does. Blocking; not for the event loop's thread."""
    asyncio.run(apply_migrations(url))
