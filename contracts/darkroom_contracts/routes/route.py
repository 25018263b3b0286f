"""The types of the route table."""

import re
from enum import StrEnum
from http import HTTPMethod
from typing import Any

import msgspec

from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError

_CONVERTER = re.compile(r":\w+(?=\})")


class Service(StrEnum):
    """The services that the edge sends requests to."""

    GATEWAY = "gateway"
    STATUS = "status"
    OPERATIONS = "operations"
    WEBHOOKS = "webhooks"


class Kind(StrEnum):
    """How a route answers."""

    HTTP = "http"
    """With one response."""
    SSE = "sse"
    """With server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    WS = "ws"
    """With a WebSocket, RFC 6455."""


class Header(msgspec.Struct, frozen=True):
    """A header of a request or of a response."""

    name: str
    description: str


class Response(msgspec.Struct, frozen=True):
    """A successful response of a route."""

    description: str
    type: Any = None
    """Type of the body, or of each event; None without a body."""
    headers: tuple[Header, ...] = ()
    media_type: str = "application/json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of the API."""

    name: str
    """Identifies the route in the services' code and in the API's documents."""
    method: HTTPMethod
    path: str
    """In Starlette's form, such as `/v1/jobs/{id:uuid}`."""
    summary: str
    service: Service | None
    """The service that answers; None for every service, each for itself and not through the edge."""
    scope: Scope | None
    """What the API key must allow; None for a public route."""
    kind: Kind = Kind.HTTP
    query: type[msgspec.Struct] | None = None
    """Struct of the query's parameters; None without any."""
    request: Any = None
    """Type of the JSON body; None without a body."""
    request_headers: tuple[Header, ...] = ()
    responses: dict[int, Response]
    """Successful responses by status."""
    problems: tuple[ApiError, ...] = ()
    waits: bool = False
    """Whether the response may take longer than the 30 s for which the edge otherwise waits."""

    @property
    def template(self) -> str:
        """The path as OpenAPI and `str.format` write it, such as `/v1/jobs/{id}`."""
        return _CONVERTER.sub("", self.path)


AUTHENTICATED = (ApiError.UNAUTHENTICATED, ApiError.FORBIDDEN, ApiError.UNAVAILABLE, ApiError.INTERNAL)
"""Problems of every route with a scope."""
OF_BODIES = (ApiError.INVALID_JSON, ApiError.UNSUPPORTED_MEDIA_TYPE, ApiError.BODY_TOO_LARGE)
"""Problems of every route with a body."""
