"""The database that a command works on, and its failures as sentences."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from chassis.postgres import Database, DatabaseUnavailableError, SchemaMissingError
from chassis.settings import DatabaseSettings, SettingsError, load
from darkroom.console import CommandError

T = TypeVar("T")


def database_settings() -> DatabaseSettings:
    """Raises CommandError when the environment does not name a database."""
    try:
        return load(DatabaseSettings)
    except SettingsError as error:
        raise CommandError(f"{error}; beside a stack that `make up` started, `. .darkroom/env` sets it.") from error


def with_database(use: Callable[[Database], Awaitable[T]]) -> T:
    """Run `use` on the database that DARKROOM_DATABASE_URL names. Raises CommandError."""
    settings = database_settings()

    async def session() -> T:
        async with Database(settings, "command") as database:
            return await use(database)

    try:
        return asyncio.run(session())
    except SchemaMissingError as error:
        raise CommandError("The database has no Darkroom schema; run `darkroom migrate` first.") from error
    except DatabaseUnavailableError as error:
        raise CommandError(f"Postgres can't be reached ({error}); check DARKROOM_DATABASE_URL.") from error
    except asyncpg.PostgresError as error:
        raise CommandError(f"Postgres refuses: {error}.") from error
