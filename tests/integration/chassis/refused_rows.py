"""Cause database errors whose messages quote a value, and log each in every way that services log errors.

`python -m tests.integration.chassis.refused_rows DATABASE_URL LOG_FORMAT [NAME...]` logs to stderr at level debug.
A name picks one of STATEMENTS, or the rollback that fails; without names it meets all.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from chassis import logs
from chassis.auth import Caller
from chassis.health import Health
from chassis.http import build_app
from chassis.loops import Loop
from chassis.postgres import Connection, Database
from chassis.settings import DatabaseSettings, LogSettings
from darkroom_contracts.api import Scope
from darkroom_contracts.routes import ROUTES, Service

MARK = "heliotropeheron"
"""Stands for a prompt. PostgreSQL or asyncpg quotes it in each of the errors."""

Act = Callable[[Connection], Awaitable[Any]]

RAISING = f"DO $$ BEGIN RAISE EXCEPTION 'the prompt {MARK} is wrong' USING DETAIL = '{MARK}', HINT = '{MARK}'; END $$"
STATEMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a check fails": ("INSERT INTO prompts VALUES (1, $1, 'short')", (f"{MARK} BAD",)),
    "a key is taken": ("INSERT INTO prompts VALUES (2, $1, 'short')", (MARK,)),
    "a column is null": ("INSERT INTO prompts VALUES (3, $1, NULL)", (f"{MARK} 3",)),
    "a parent is missing": ("INSERT INTO children VALUES ($1)", (f"{MARK} 4",)),
    "a text instead of a number": ("SELECT ($1::text)::integer", (MARK,)),
    "a text instead of JSON": ("SELECT ($1::text)::jsonb", (f'{{"prompt": {MARK}',)),
    "a NUL in JSON": ("SELECT $1::jsonb ->> 'prompt'", ({"prompt": f"{MARK} \0"},)),
    "a number is a text": ("SELECT $1::integer", (MARK,)),
    "half a surrogate pair": ("SELECT $1::text", (f"{MARK} \ud800",)),
    "a text instead of a UUID": ("SELECT $1::uuid", (MARK,)),
    "a function raises": (RAISING, ()),
}

ROLLBACK_FAILS = "the rollback fails"


async def break_off_within_a_transaction(connection: Connection) -> None:
    """Cause a rollback that fails after a refused row, with an error chained to the first."""
    try:
        await connection.execute("INSERT INTO prompts VALUES (7, $1, NULL)", f"{MARK} 7")
    finally:
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def prepare(connection: Connection) -> None:
    await connection.execute(
        "CREATE TABLE prompts (id integer, prompt text UNIQUE CHECK (prompt NOT LIKE '% BAD'), note text NOT NULL);"
        "CREATE TABLE children (prompt text REFERENCES prompts (prompt));"
    )
    await connection.execute("INSERT INTO prompts VALUES (0, $1, 'short')", MARK)


def executing(sql: str, arguments: tuple[Any, ...]) -> Act:
    return lambda connection: connection.fetch(sql, *arguments)


class Once(Loop):
    """A loop whose only round fails."""

    name = "once"
    interval = 60.0

    def __init__(self, fail: Callable[[], Awaitable[Any]], stop: asyncio.Event) -> None:
        super().__init__()
        self._fail = fail
        self._stop = stop

    async def run_once(self) -> bool:
        self._stop.set()
        await self._fail()
        return False


class Anybody:
    async def authenticate(self, request: Request, scope: Scope) -> Caller:
        return Caller(UUID(int=1), "key", scope)


async def meet(fail: Callable[[], Awaitable[Any]]) -> None:
    """Raise the error in a loop, a readiness check, an endpoint and a future that is never awaited."""
    stop = asyncio.Event()
    await Once(fail, stop).run(stop)

    async def endpoint(request: Request, caller: Caller) -> Response:
        await fail()
        return Response()

    async def check() -> None:
        await fail()

    endpoints = {route.name: endpoint for route in ROUTES if route.service == Service.GATEWAY}
    app = build_app(Service.GATEWAY, endpoints, Anybody(), Health({"database": check}))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        for answer in (await client.post("/v1/jobs"), await client.get("/readyz")):
            assert answer.is_error, answer.text
            structlog.get_logger().info("answered", body=answer.text)
    unheeded = asyncio.ensure_future(fail())
    await asyncio.wait([unheeded])


async def main(url: str, names: list[str]) -> None:
    log = structlog.get_logger()
    async with Database(DatabaseSettings(database_url=url), "test") as database:
        async with database.connection() as connection:
            await prepare(connection)
        acts = {name: executing(*statement) for name, statement in STATEMENTS.items()}
        acts[ROLLBACK_FAILS] = break_off_within_a_transaction
        for name in names or acts:

            async def fail(act: Act = acts[name]) -> None:
                async with database.transaction() as connection:
                    await act(connection)

            log.info("next", what=name)
            await meet(fail)


if __name__ == "__main__":
    logs.configure("test", msgspec.convert({"log_level": "debug", "log_format": sys.argv[2]}, LogSettings))
    asyncio.run(main(sys.argv[1], sys.argv[3:]))
