"""Clients of services in the test's own process, and responses held to the route table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
import msgspec
from starlette.routing import compile_path
from starlette.types import ASGIApp

from chassis.service import App
from darkroom_contracts.api import Problem, Scope
from darkroom_contracts.routes import HEALTH_ROUTES, ROUTES, Route
from tests.support.keys import insert_key

_PATHS = [(compile_path(route.path)[0], route) for route in (*ROUTES, *HEALTH_ROUTES)]


class Api:
    """A service's API, for clients with keys of several tenants and scopes."""

    def __init__(self, app: App, rows: asyncpg.Connection) -> None:
        self.app = app
        self._rows = rows

    @asynccontextmanager
    async def client(self, tenant: str, scope: Scope = Scope.CLIENT) -> AsyncIterator[httpx2.AsyncClient]:
        """Yield a client of a tenant, which is made if it does not exist. It fails for undeclared responses."""
        key = await insert_key(self._rows, tenant, scope=scope)
        async with declared_client(self.app.http, key.reveal()) as http:
            yield http


def declared_client(app: ASGIApp, key: str) -> httpx2.AsyncClient:
    """Return a client that sends a key to an application, and fails for a response that its route does not declare.

    An exception of the application is a response with status 500.
    """
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://service",
        headers={"Authorization": f"Bearer {key}"},
        event_hooks={"response": [assert_declared]},
    )


def refusal(response: httpx2.Response) -> tuple[int, str, str | None]:
    """Return status, code and field of a problem."""
    problem: dict[str, Any] = response.json()
    return response.status_code, problem["code"], problem.get("field")


async def assert_declared(response: httpx2.Response) -> None:
    """Fail unless the route declares the response: its status with its body, or its problem. A hook of clients."""
    route = _route(response.request)
    if response.request.method == "HEAD":
        assert route is None or response.status_code in {*route.responses, *(code.status for code in route.problems)}
        return
    await response.aread()
    if route is None:
        assert _code(response) in ("not_found", "method_not_allowed")
    elif declared := route.responses.get(response.status_code):
        if declared.type is not None:
            for document in _documents(response):
                msgspec.json.decode(document, type=declared.type)
        elif route.service is not None:
            assert response.content == b""
    else:
        assert _code(response) in route.problems, f"{route.name} does not declare {response.text}"


def _documents(response: httpx2.Response) -> list[bytes]:
    lines = response.headers["content-type"] == "application/x-ndjson"
    return response.content.splitlines() if lines else [response.content]


def _route(request: httpx2.Request) -> Route | None:
    method = "GET" if request.method == "HEAD" else request.method
    return next((route for path, route in _PATHS if route.method == method and path.match(request.url.path)), None)


def _code(response: httpx2.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = msgspec.json.decode(response.content, type=Problem)
    assert problem.status == response.status_code
    return problem.code
