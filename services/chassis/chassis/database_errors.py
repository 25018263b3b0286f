"""Translation of asyncpg's errors, without the contents of rows.

PostgreSQL quotes the values that it refuses ("Failing row contains (...)", "Key (tenant_id, key)=(...)"), and asyncpg
those that it can't encode. The values are prompts and secrets, and errors are logged with their tracebacks. So each
error of the server is reduced to its class, its SQLSTATE and the names of the objects that it concerns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from chassis.errors import (
    BadDataError,
    DatabaseError,
    DatabaseUnavailableError,
    SchemaMissingError,
    TransactionClashError,
)

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
)
_NO_SCHEMA = (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError)
"""Raised by a database that is not migrated, or is being restored. Temporary, as an outage is."""
_BAD_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_CLASHES = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

_PLAIN_CLASSES = frozenset({"08", "25", "28", "3D", "42", "53", "55", "57", "58"})
"""SQLSTATE classes whose messages name objects, roles and resources, never values: connection, authorization, syntax,
resources, locks, operator intervention, system errors."""
_QUOTING_PARTS = ("detail", "hint", "message", "context", "query", "internal_query")


@contextmanager
def translated_errors(*, in_doubt: bool = True, is_closed: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Translate asyncpg's errors to those of `chassis.errors`, and remove the contents of rows from all of them.

    asyncpg raises InterfaceError for a closed connection and for mistaken calls alike; it is translated only if
    `is_closed` returns True.
    """
    try:
        yield
    except DatabaseError:
        raise
    except Exception as error:
        remove_contents(error)
        translation = _translation(error, in_doubt)
        if isinstance(error, asyncpg.InterfaceError) and translation is None and is_closed():
            translation = DatabaseUnavailableError(_reason(error), in_doubt=in_doubt)
        if translation is None:
            raise
        raise translation from error


def remove_contents(error: BaseException) -> None:
    """Reduce the server's error in a chain of exceptions to its description, and cut the chain there."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, asyncpg.PostgresError):
        link = link.__cause__ or link.__context__
    if link is None:
        return
    link.args = (describe(link),)
    for part in _QUOTING_PARTS:
        setattr(link, part, None)
    # The cause of asyncpg's encoding errors quotes the value, too.
    link.__cause__ = link.__context__ = None


def describe(error: asyncpg.PostgresError) -> str:
    """Return class, SQLSTATE and names: `CheckViolationError (23514), table jobs, constraint jobs_ttl_check`."""
    sqlstate = error.sqlstate or "no SQLSTATE"
    parts = [f"{type(error).__name__} ({sqlstate})"]
    named = {"table": error.table_name, "column": error.column_name, "constraint": error.constraint_name}
    parts += [f"{what} {name}" for what, name in named.items() if name]
    if sqlstate[:2] in _PLAIN_CLASSES and error.args:
        parts.append(str(error.args[0]))
    return ", ".join(parts)


def _translation(error: Exception, in_doubt: bool) -> Exception | None:
    reason = _reason(error)
    if isinstance(error, _BAD_DATA):
        return BadDataError(reason)
    if isinstance(error, _CLASHES):
        return TransactionClashError(reason)
    if isinstance(error, _NO_SCHEMA):
        what_to_do = "run `darkroom migrate` unless a restore is under way"
        return SchemaMissingError(f"{reason}; {what_to_do}", in_doubt=False)
    if isinstance(error, _AWAY):
        return DatabaseUnavailableError(reason, in_doubt=in_doubt)
    return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
