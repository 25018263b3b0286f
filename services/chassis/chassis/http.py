"""HTTP: an application that serves a service's part of the route table, bounded JSON bodies, JSON responses."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from chassis.auth import Authenticator, Caller
from chassis.health import Health
from chassis.problems import ProblemError
from chassis.request_context import RequestContext
from darkroom_contracts.api import encode
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import HEALTH_ROUTES, ROUTES, Kind, Route, Service

Endpoint: TypeAlias = Callable[[Request, Caller], Awaitable[Response]]
"""Answers a route, with one response or with a stream."""
PublicEndpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
"""Answers a route without a scope."""
WebSocketEndpoint: TypeAlias = Callable[[WebSocket, Caller], Awaitable[None]]
"""Accepts a WebSocket and serves it until either side closes it."""
Endpoints: TypeAlias = Mapping[str, Endpoint | PublicEndpoint | WebSocketEndpoint]
"""Endpoints by the names of their routes."""


def build_app(
    service: Service,
    endpoints: Endpoints,
    authenticator: Authenticator,
    health: Health,
    routes: Sequence[Route] = ROUTES,
) -> Starlette:
    """Return an application that serves the service's routes, and its health. `routes` is the whole route table.

    A known path with another method is answered 405 with the Allow header of the whole table, whichever service the
    methods belong to. Raises ValueError unless `endpoints` has exactly the names of the service's routes.
    """
    own = [route for route in routes if route.service is service]
    served = _serve(own, endpoints, authenticator)
    return _Application([*served, *_refusals(routes), *_health_routes(health)])


def build_health_app(health: Health) -> Starlette:
    """Return an application that serves nothing but the health of a service without routes."""
    return _Application(_health_routes(health))


def reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response with a body of the API."""
    return Response(encode(content), status, headers, "application/json")


async def read_body(request: Request, at_most: int) -> bytes:
    """Return the whole JSON body.

    Raises ProblemError: 415 for another content type, 413 for a body of more than `at_most` bytes, 400 for one that
    ended early.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(
            ApiError.UNSUPPORTED_MEDIA_TYPE, "The body's content type is not supported. Send it as application/json."
        )
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > at_most:
                raise ProblemError(
                    ApiError.BODY_TOO_LARGE, f"The body is larger than {at_most} bytes. Send a smaller one."
                )
    except ClientDisconnect as error:
        raise ProblemError(ApiError.INVALID_JSON, "The body ended early. Send the whole body.") from error
    return bytes(body)


class _Application(Starlette):
    """Starlette without its error middlewares: they would answer without a traceparent, and each wraps every send."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        super().__init__(routes=routes)
        self.router.default = _not_found
        self.router.redirect_slashes = False  # a redirect would lead to whatever host the client named

    def build_middleware_stack(self) -> ASGIApp:
        return RequestContext(self.router)


def _serve(
    routes: Sequence[Route], endpoints: Endpoints, authenticator: Authenticator | None = None
) -> list[BaseRoute]:
    names = {route.name for route in routes}
    if names != endpoints.keys():
        wrong = ", ".join(sorted(names ^ endpoints.keys()))
        raise ValueError(f"The endpoints are not those of the route table. Missing or unknown: {wrong}.")
    return [_bind(route, endpoints[route.name], authenticator) for route in routes]


def _bind(route: Route, endpoint: Any, authenticator: Authenticator | None) -> BaseRoute:
    handler = endpoint if route.scope is None else _authenticated(route, endpoint, authenticator)
    if route.kind is Kind.WS:
        return WebSocketRoute(route.path, handler, name=route.name)
    return HttpRoute(route.path, handler, methods=[route.method], name=route.name)


def _authenticated(route: Route, endpoint: Any, authenticator: Authenticator | None) -> Callable[[Any], Awaitable[Any]]:
    scope = route.scope
    if scope is None or authenticator is None:
        raise ValueError(f"The route {route.name} needs an authenticator.")

    async def respond(connection: Request | WebSocket) -> Any:
        return await endpoint(connection, await authenticator.authenticate(connection, scope))

    return respond


def _health_routes(health: Health) -> list[BaseRoute]:
    return [*_serve(HEALTH_ROUTES, health.endpoints()), *_refusals(HEALTH_ROUTES)]


def _refusals(routes: Sequence[Route]) -> list[BaseRoute]:
    paths = dict.fromkeys(route.path for route in routes if route.kind is not Kind.WS)
    return [_method_not_allowed(path, routes) for path in paths]


def _method_not_allowed(path: str, routes: Sequence[Route]) -> HttpRoute:
    allowed = sorted({route.method for route in routes if route.path == path})

    async def refuse(request: Request) -> NoReturn:
        detail = "This address does not support the method. Use one that the Allow header lists."
        raise ProblemError(ApiError.METHOD_NOT_ALLOWED, detail, headers={"Allow": ", ".join(allowed)})

    refusal = HttpRoute(path, refuse)
    refusal.methods = None  # all that no route before it serves, also those of WebDAV
    return refusal


async def _not_found(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise ProblemError(ApiError.NOT_FOUND, "This address does not exist. Check the path.")
