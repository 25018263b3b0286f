"""The Postgres pool, its errors, and named queries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from chassis.errors import BadDataError, DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from chassis.postgres import Connection, Database, connect_alone, load_queries
from chassis.settings import DatabaseSettings
from darkroom_local.ports import LOOPBACK
from tests.integration.chassis.wire import wire_to
from tests.support.ports import free_port
from tests.support.waiting import eventually

Loss = Callable[[Connection, Database], Awaitable[None]]


def pool_on(url: str, connections: int = 4) -> Database:
    return Database(DatabaseSettings(database_url=url, database_connections=connections), "test")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Database]:
    async with pool_on(database) as pool:
        yield pool


async def test_jsonb_goes_in_as_any_value_and_comes_out_as_bytes(pool: Database) -> None:
    """A jsonb parameter may be any value, and a jsonb column is returned as bytes."""
    async with pool.connection() as connection:
        value = await connection.fetchval("SELECT $1::jsonb", {"prompt": "a fox 🦊", "steps": [1, 2]})
    assert value == '{"steps": [1, 2], "prompt": "a fox 🦊"}'.encode()


@pytest.mark.parametrize(
    ("sql", "argument"),
    [
        ("SELECT $1::text", "NUL \x00 inside"),
        ("SELECT $1::text", "lone \ud800 surrogate"),
        ("SELECT $1::integer", 2**40),
        ("INSERT INTO tenants (name) VALUES ($1)", "Not A Name"),
    ],
)
async def test_what_postgres_refuses_is_bad_data(pool: Database, sql: str, argument: Any) -> None:
    """Values that Postgres can't store, and rows that violate a constraint, raise BadDataError."""
    with pytest.raises(BadDataError):
        async with pool.connection() as connection:
            await connection.fetch(sql, argument)


async def test_a_session_that_holds_locks_goes_past_the_pooler(database: str) -> None:
    """A standing connection uses the direct URL, past the pooler."""
    nowhere = f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/none"
    settings = DatabaseSettings(database_url=nowhere, database_direct_url=database)
    connection = await connect_alone(settings, "test")
    assert await connection.fetchval("SELECT current_setting('application_name')") == "darkroom-test"
    await connection.close()


@pytest.mark.parametrize("alone", [True, False])
async def test_startup_asks_for_nothing_that_a_pooler_refuses(alone: bool) -> None:
    """A connection sends only the startup parameters that PgBouncer accepts."""
    asked: asyncio.Queue[list[str]] = asyncio.Queue()

    async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # the wish for TLS
        writer.write(b"N")
        length = int.from_bytes(await reader.readexactly(4))
        message = await reader.readexactly(length - 4)
        asked.put_nowait(message[4:].rstrip(b"\0").decode().split("\0")[::2])
        writer.close()

    async with await asyncio.start_server(read_startup, LOOPBACK, 0) as server:
        url = f"postgresql://nobody:nothing@{LOOPBACK}:{server.sockets[0].getsockname()[1]}/none"
        settings = DatabaseSettings(database_url=url)
        async with Database(settings, "test") as pool:
            with pytest.raises(DatabaseUnavailableError):
                await (connect_alone(settings, "test") if alone else pool.check())
        assert set(await asked.get()) == {"user", "database", "client_encoding", "application_name"}


async def test_a_deadlock_is_a_clash(pool: Database, database: str) -> None:
    """One of two deadlocked transactions raises TransactionClashError."""
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO tenants (name) VALUES ('first'), ('second')")
    both_hold_one = asyncio.Barrier(2)

    async def rename(first: str, second: str) -> None:
        async with pool.transaction() as connection:
            await connection.execute("UPDATE tenants SET created_at = now() WHERE name = $1", first)
            await both_hold_one.wait()
            await connection.execute("UPDATE tenants SET created_at = now() WHERE name = $1", second)

    results = await asyncio.gather(rename("first", "second"), rename("second", "first"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [TransactionClashError]


async def test_a_transaction_that_raises_leaves_nothing(pool: Database) -> None:
    """A transaction that raises is rolled back."""

    async def insert_two() -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO tenants (name) VALUES ('kept-not')")
            await connection.execute("INSERT INTO tenants (name) VALUES ('Not A Name')")

    with pytest.raises(BadDataError):
        await insert_two()
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tenants") == 0


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    """The pool connects on first use, and an unreachable server raises DatabaseUnavailableError."""
    async with pool_on(f"postgresql://nobody:nothing@{LOOPBACK}:{free_port()}/none") as pool:
        with pytest.raises(DatabaseUnavailableError):
            await pool.check()


async def test_a_database_that_is_not_there_is_unavailable(database: str) -> None:
    """A missing database raises DatabaseUnavailableError."""
    async with pool_on(database.rpartition("/")[0] + "/no-such-database") as pool:
        with pytest.raises(DatabaseUnavailableError):
            await pool.check()


async def test_a_connection_that_was_ended_is_replaced(pool: Database, database: str) -> None:
    """A terminated connection raises DatabaseUnavailableError, and is replaced."""
    with pytest.raises(DatabaseUnavailableError):
        async with pool.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await pool.check()


async def lose_during_a_statement(connection: Connection, others: Database) -> None:
    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def lose_between_statements(connection: Connection, others: Database) -> None:
    await lose_before_the_commit(connection, others)
    await connection.execute("SELECT 1")


async def lose_before_the_commit(connection: Connection, others: Database) -> None:
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    async with others.connection() as other:
        await other.execute("SELECT pg_terminate_backend($1)", backend)
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
        while await other.fetchval(alive, backend):
            pass


@pytest.mark.parametrize("lose", [lose_during_a_statement, lose_between_statements, lose_before_the_commit])
async def test_a_connection_that_ends_in_a_transaction_is_an_outage(pool: Database, database: str, lose: Loss) -> None:
    """Wherever it ends; the pool goes on with another connection."""
    async with pool_on(database) as others:
        with pytest.raises(DatabaseUnavailableError):
            async with pool.transaction() as connection:
                await lose(connection, others)
    await pool.check()


@pytest.mark.parametrize("error", [RuntimeError("ours"), OSError("ours"), TimeoutError("ours")], ids=repr)
async def test_what_its_user_raises_passes_through(pool: Database, error: Exception) -> None:
    """An error that the caller raises inside a transaction is not translated, and the transaction is rolled back."""

    async def insert_and_fail() -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO tenants (name) VALUES ('kept-not')")
            raise error

    with pytest.raises(type(error)) as caught:
        await insert_and_fail()
    assert caught.value is error
    async with pool.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tenants") == 0


async def test_a_mistaken_call_is_no_outage(pool: Database) -> None:
    """InterfaceError is not translated while the connection is open."""
    async with pool.connection() as connection:
        with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
            await connection.fetch("SELECT $1::text")
        assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
        await connection.fetchval("SELECT 1")


async def test_a_closed_connection_is_unavailable(database: str) -> None:
    """A call on a closed connection raises DatabaseUnavailableError."""
    connection = await connect_alone(DatabaseSettings(database_url=database), "test")
    await connection.close()
    with pytest.raises(DatabaseUnavailableError, match="closed"):
        await connection.fetch("SELECT 1")
    async with asyncio.timeout(10):
        await connection.lost.wait()


async def test_notifications_are_heard_while_the_connection_lasts(database: str, pool: Database) -> None:
    """Notifications are received in order, and the end of the connection sets `lost`."""
    standing = await connect_alone(DatabaseSettings(database_url=database), "test")
    heard: list[str] = []
    await standing.listen("news", heard.append)
    async with pool.connection() as connection:
        await connection.execute("NOTIFY news, 'one'; NOTIFY news, 'two'")
        await eventually(lambda: heard == ["one", "two"], what="both are heard")
        assert not standing.lost.is_set()
        backend = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = $1"
        assert await connection.fetchval(backend, database.rpartition("/")[2])
    async with asyncio.timeout(10):
        await standing.lost.wait()


async def test_a_lost_wire_is_unavailable_and_recovers(database: str) -> None:
    """The pool recovers from a lost network connection."""
    async with wire_to(database) as wire, pool_on(wire.url) as pool:
        await pool.check()
        wire.cut()

        async def back() -> bool:
            try:
                await pool.check()
            except DatabaseUnavailableError:
                return False
            return True

        await eventually(back, what="the pool connects again")


async def test_a_silent_server_does_not_hold_its_users_for_ever(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements, and closing the pool, have time limits."""
    monkeypatch.setattr("chassis.postgres.COMMAND_TIMEOUT_SECONDS", 0.3)
    async with asyncio.timeout(10), wire_to(database) as wire, pool_on(wire.url) as pool:
        await pool.check()
        wire.freeze()
        with pytest.raises(DatabaseUnavailableError):
            await pool.check()


async def test_users_beyond_the_pool_wait_for_a_connection(database: str) -> None:
    """Callers beyond the number of connections wait, and all get one."""
    async with pool_on(database, connections=2) as pool:
        await asyncio.gather(*(pool.check() for _ in range(20)))
        async with pool.connection() as connection:
            sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'darkroom-test' AND datname = $1"
            assert await connection.fetchval(sessions, database.rpartition("/")[2]) <= 2


@asynccontextmanager
async def full(pool: Database, users: int) -> AsyncIterator[None]:
    """Use all connections of the pool but the reserved one."""
    async with AsyncExitStack() as stack:
        for _ in range(users):
            await stack.enter_async_context(pool.connection())
        yield


async def use(pool: Database) -> None:
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")


async def test_a_full_pool_is_busy_and_not_away(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a connection ends with DatabaseBusyError at its time limit."""
    monkeypatch.setattr("chassis.postgres.WAIT_TIMEOUT_SECONDS", 0.1)
    async with pool_on(database, connections=3) as pool:
        async with full(pool, 2):
            with pytest.raises(DatabaseBusyError, match="none of its connections became free"):
                await use(pool)
        await use(pool)


async def test_only_so_many_wait_for_a_connection(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers beyond the limit are refused at once, and the waiting ones get a connection."""
    monkeypatch.setattr("chassis.postgres.MOST_WAITING", 3)
    async with pool_on(database, connections=3) as pool:
        async with full(pool, 2):
            waiting = [asyncio.create_task(use(pool)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(DatabaseBusyError, match="3 others wait"):
                await use(pool)
        await asyncio.gather(*waiting)


async def test_who_stops_waiting_makes_room(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canceled caller frees its place among the waiting ones."""
    monkeypatch.setattr("chassis.postgres.MOST_WAITING", 1)
    async with pool_on(database, connections=2) as pool:
        async with full(pool, 1):
            leaver = asyncio.create_task(use(pool))
            await asyncio.sleep(0)
            leaver.cancel()
            await asyncio.wait([leaver])
            stayer = asyncio.create_task(use(pool))
            await asyncio.sleep(0)
        await stayer
        await use(pool)


async def test_a_full_pool_answers_the_readiness_check(database: str) -> None:
    """The readiness check works while the pool is full."""
    async with pool_on(database, connections=3) as pool, full(pool, 2), asyncio.timeout(2):
        await asyncio.gather(pool.check(), pool.check())


async def test_a_part_of_the_connections_may_be_taken_whole(database: str) -> None:
    """A pool without a readiness check may use all of its connections."""
    settings = DatabaseSettings(database_url=database, database_connections=9)
    pool = Database(settings, "test", connections=2, keep_one_for_check=False)
    async with pool, asyncio.timeout(2), full(pool, 2):
        assert pool._pool.get_size() == 2


async def test_the_errors_keep_their_cause(pool: Database) -> None:
    """A translated error has the error of asyncpg as its cause."""
    with pytest.raises(BadDataError) as caught:
        async with pool.connection() as connection:
            await connection.fetch("SELECT $1::integer", 2**40)
    assert isinstance(caught.value.__cause__, asyncpg.DataError)


async def test_named_queries_run_on_a_connection(pool: Database) -> None:
    """Named queries of a package's `queries.sql` are methods."""
    async with pool.connection() as connection:
        assert [row async for row in load_queries("chassis").find_keys(connection, ids=["nobody"])] == []
