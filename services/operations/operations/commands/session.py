"""The database that a command works on, and the one place where its errors become sentences."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from chassis.errors import DatabaseError, DatabaseUnavailableError, SchemaMissingError
from chassis.postgres import Database
from chassis.settings import DatabaseSettings, SettingsError, load
from darkroom.console import CommandError
from darkroom_contracts.models import CatalogueError
from operations.errors import OperationsError

T = TypeVar("T")


def with_database(use: Callable[[Database], Awaitable[T]]) -> T:
    """Run a use case on the database that DARKROOM_DATABASE_URL names. Raises CommandError."""

    async def session(settings: DatabaseSettings) -> T:
        async with Database(settings, "command") as database:
            return await use(database)

    with translated_errors():
        return asyncio.run(session(database_settings()))


def database_settings() -> DatabaseSettings:
    """Read the settings of the database. Raises CommandError if they are missing or wrong."""
    try:
        return load(DatabaseSettings)
    except SettingsError as error:
        raise CommandError(f"{error}; beside a stack that `make up` started, `. .darkroom/env` sets it.") from error


def actor() -> str:
    """Return the name of the user who runs the command, for the audit log."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"command:uid-{os.getuid()}"


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the errors of use cases, settings and the database into CommandError."""
    try:
        yield
    except (OperationsError, SettingsError, CatalogueError) as error:
        raise CommandError(str(error)) from error
    except SchemaMissingError as error:
        raise CommandError("The database has no Darkroom schema; run `darkroom migrate` first.") from error
    except DatabaseUnavailableError as error:
        raise CommandError(f"Postgres can't be reached ({error}); check DARKROOM_DATABASE_URL.") from error
    except DatabaseError as error:
        raise CommandError(f"Postgres refused a statement: {error}.") from error
