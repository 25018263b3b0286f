"""Brings a database to the current schema."""

import asyncio

from operations import migrate as operations


def migrate(url: str) -> None:
    """Apply every migration, as `python -m operations migrate` does. Blocking; not for the event loop's thread."""
    asyncio.run(operations.migrate(url))
