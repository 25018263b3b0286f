"""Translation of database errors, without the contents of rows."""

import asyncio
import json
import sys

import asyncpg
import pytest

from chassis.database_errors import describe
from chassis.errors import BadDataError, DatabaseUnavailableError, SchemaMissingError
from chassis.postgres import Database
from chassis.settings import DatabaseSettings
from darkroom_local.ports import LOOPBACK
from tests.integration.chassis import refused_rows
from tests.integration.chassis.refused_rows import MARK, ROLLBACK_FAILS, STATEMENTS
from tests.support.ports import free_port


@pytest.mark.parametrize(("form", "names"), [("json", []), ("console", ["a column is null", ROLLBACK_FAILS])])
async def test_what_was_in_a_row_reaches_no_log(empty_database: str, form: str, names: list[str]) -> None:
    """No log line or traceback of an error contains a value of the row, but its class and its names."""
    command = [sys.executable, "-m", refused_rows.__name__, empty_database, form, *names]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    written = stderr.decode()
    assert process.returncode == 0, written
    assert MARK not in written
    assert "NotNullViolationError (23502)" in written
    assert "column note" in written


@pytest.mark.parametrize("name", STATEMENTS)
async def test_the_statements_are_met_with_the_value(empty_database: str, name: str) -> None:
    """Without the translation each of these errors quotes the value."""
    connection = await asyncpg.connect(empty_database)
    await refused_rows.prepare(connection)
    sql, arguments = STATEMENTS[name]
    arguments = tuple(json.dumps(value) if isinstance(value, dict) else value for value in arguments)
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.fetch(sql, *arguments)
    assert MARK in f"{caught.value} {vars(caught.value)}"
    await connection.close()


async def test_an_error_names_what_it_concerns(database: str) -> None:
    """An error names its class, SQLSTATE, table, column and constraint."""
    async with Database(DatabaseSettings(database_url=database), "test") as pool:
        with pytest.raises(BadDataError) as caught:
            async with pool.connection() as connection:
                await connection.execute("INSERT INTO tenants (name) VALUES ('Not A Name')")
        assert str(caught.value) == "CheckViolationError (23514), table tenants, constraint tenants_name_check"
        with pytest.raises(BadDataError) as caught:
            async with pool.connection() as connection:
                await connection.execute("INSERT INTO tenants (name) VALUES (NULL)")
        assert str(caught.value) == "NotNullViolationError (23502), table tenants, column name"


async def test_an_error_about_the_server_keeps_its_message(database: str) -> None:
    """An error about the server keeps its message, which names roles, databases and objects."""
    async with Database(DatabaseSettings(database_url=database.rpartition("/")[0] + "/nowhere"), "test") as pool:
        with pytest.raises(DatabaseUnavailableError, match=r"\(3D000\), database .nowhere. does not exist"):
            await pool.check()


async def test_a_request_that_was_never_sent_is_in_no_doubt(database: str) -> None:
    """Only a statement that was sent is in doubt."""
    nowhere = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/none"
    async with Database(DatabaseSettings(database_url=nowhere), "test") as pool:
        with pytest.raises(DatabaseUnavailableError) as never_sent:
            await pool.check()
    async with Database(DatabaseSettings(database_url=database), "test") as pool:
        with pytest.raises(DatabaseUnavailableError) as unanswered:
            async with pool.connection() as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (never_sent.value.in_doubt, unanswered.value.in_doubt) == (False, True)


def test_an_error_without_a_sqlstate_is_told_by_its_class() -> None:
    """An error that asyncpg itself raises is described by its class."""
    assert describe(asyncpg.PostgresError(MARK)) == "PostgresError (no SQLSTATE)"


@pytest.mark.parametrize("sql", ["SELECT FROM jobs", "SELECT cancel_channel('one')"])
async def test_a_database_without_its_schema_is_away(empty_database: str, sql: str) -> None:
    """A missing schema raises SchemaMissingError, which is not in doubt."""
    async with Database(DatabaseSettings(database_url=empty_database), "test") as pool:
        with pytest.raises(SchemaMissingError, match=r"does not exist; run `darkroom migrate`") as caught:
            async with pool.connection() as connection:
                await connection.execute(sql)
    assert not caught.value.in_doubt
