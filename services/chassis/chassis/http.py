"""HTTP: an application built from the route table, JSON bodies in bounds, JSON answers."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from prometheus_client import Histogram
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.auth import Authenticator, Caller
from chassis.health import Health
from chassis.problems import ProblemError, answer
from chassis.trace import trace_id, traceparent_from
from darkroom_contracts.api import ROUTES, Route, Service
from darkroom_contracts.errors import ApiError

Endpoint = Callable[[Request, Caller], Awaitable[Response]]

log = structlog.get_logger()
DURATION = Histogram("darkroom_http_request_seconds", "Time to answer a request.", ["method", "route", "status"])


def build_app(
    service: Service,
    endpoints: Mapping[tuple[str, str], Endpoint],
    authenticator: Authenticator,
    health: Health,
) -> Starlette:
    """An application that serves exactly what the route table gives to `service`.

    `endpoints` maps (method, path) of each of its routes to what answers it. A known path with another method
    answers 405 with the Allow header of the whole table, whichever service the methods belong to.
    """
    own = [route for route in ROUTES if route.service == service]
    if {(route.method, route.path) for route in own} != set(endpoints):
        raise ValueError(f"the endpoints of {service} are not those of the route table")
    routes = [_authenticated(route, endpoints[route.method, route.path], authenticator) for route in own]
    known_paths = dict.fromkeys(route.path for route in ROUTES)
    return _Application(routes=[*routes, *(_method_not_allowed(path) for path in known_paths), *health.routes()])


def reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer from any value msgspec encodes."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def read_body(request: Request, at_most: int) -> bytes:
    """The whole JSON body. Raises ProblemError: 415 for another content type, 413 past `at_most` bytes."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(415, ApiError.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > at_most:
                raise ProblemError(413, ApiError.BODY_TOO_LARGE, f"The body may have {at_most} bytes at most.")
    except ClientDisconnect as error:
        raise ProblemError(400, ApiError.INVALID_JSON, "The body ended early.") from error
    return bytes(body)


class _Application(Starlette):
    """Starlette without its error middlewares: they would answer without a traceparent, and each wraps every send."""

    def build_middleware_stack(self) -> ASGIApp:
        return RequestContext(self.router)


class RequestContext:
    """Binds the trace id to the logs of a request, echoes `traceparent`, times the request and answers for errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        traceparent = traceparent_from(_header(scope, b"traceparent"))
        scope["traceparent"] = traceparent
        structlog.contextvars.bind_contextvars(trace_id=trace_id(traceparent))
        status: int | None = None

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"traceparent", traceparent.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_trace)
        except Exception as error:
            if status is not None:
                raise  # the server closes the connection, so that half an answer is not taken for a whole one
            await answer(Request(scope), error)(scope, receive, send_with_trace)
        finally:
            route = scope.get("route")
            path = route.path if isinstance(route, StarletteRoute) else "unknown"
            DURATION.labels(scope["method"], path, status or 500).observe(time.perf_counter() - started)


def _authenticated(route: Route, endpoint: Endpoint, authenticator: Authenticator) -> StarletteRoute:
    async def respond(request: Request) -> Response:
        return await endpoint(request, await authenticator.authenticate(request, route.scope))

    return StarletteRoute(route.path, respond, methods=[route.method])


def _method_not_allowed(path: str) -> StarletteRoute:
    allowed = ", ".join(sorted(route.method for route in ROUTES if route.path == path))

    async def refuse(request: Request) -> Response:
        raise HTTPException(405, headers={"Allow": allowed})

    methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(allowed.split(", "))
    return StarletteRoute(path, refuse, methods=sorted(methods))


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
