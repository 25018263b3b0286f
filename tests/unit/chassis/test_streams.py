"""Streams and WebSockets pass through the layer that requests pass through."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPMethod
from uuid import UUID

import pytest
import structlog
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from chassis.auth import Caller
from chassis.errors import DatabaseUnavailableError
from chassis.health import Health
from chassis.http import Endpoint, Endpoints, WebSocketEndpoint, build_app
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import Kind, Route, Service
from darkroom_contracts.routes import Response as RouteResponse

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_ID = TRACEPARENT[3:35]
KEY = {"authorization": "Bearer good"}
TRACED = KEY | {"traceparent": TRACEPARENT}


def route(name: str, kind: Kind, path: str, scope: Scope | None = Scope.CLIENT) -> Route:
    return Route(
        name=name,
        method=HTTPMethod.GET,
        path=path,
        summary="A route of this test.",
        service=Service.STATUS,
        scope=scope,
        kind=kind,
        responses={200: RouteResponse("Something.")},
    )


ROUTES = (
    route("watch", Kind.SSE, "/v1/things/{id:uuid}/events"),
    route("talk", Kind.WS, "/v1/things/{id:uuid}/ws"),
    route("greet", Kind.HTTP, "/greeting", scope=None),
)
EVENTS, SOCKET = (f"/v1/things/{UUID(int=7)}/{end}" for end in ("events", "ws"))
EVENTS_ROUTE, SOCKET_ROUTE = ROUTES[0].path, ROUTES[1].path


class OneKey:
    """Knows the key "good"."""

    async def authenticate(self, connection: HTTPConnection, scope: Scope) -> Caller:
        if connection.headers.get("authorization") != KEY["authorization"]:
            raise ProblemError(ApiError.UNAUTHENTICATED, "Send a key.", headers={"WWW-Authenticate": "Bearer"})
        return Caller(UUID(int=1), "good", scope)


async def count_to_two(request: Request, caller: Caller) -> Response:
    async def events() -> AsyncIterator[bytes]:
        for number in (1, 2):
            yield f"data: {caller.key_id} {number} {sample(OPEN, route=EVENTS_ROUTE)}\n\n".encode()

    return StreamingResponse(events(), media_type="text/event-stream")


async def greet(request: Request) -> Response:
    return Response("hello")


async def echo(socket: WebSocket, caller: Caller) -> None:
    await socket.accept()
    structlog.get_logger().info("talking")
    await socket.send_text(f"{caller.key_id} {socket.path_params['id']} {sample(OPEN, route=SOCKET_ROUTE)}")
    await socket.send_text(await socket.receive_text())


def app(watch: Endpoint = count_to_two, talk: WebSocketEndpoint = echo) -> Starlette:
    endpoints: Endpoints = {"watch": watch, "talk": talk, "greet": greet}
    return build_app(Service.STATUS, endpoints, OneKey(), Health({}), ROUTES)  # type: ignore[arg-type]


def client(talk: WebSocketEndpoint = echo) -> TestClient:
    return TestClient(app(talk=talk))


OPEN = "darkroom_http_open_streams"
CLOSED = "darkroom_http_closed_streams_total"
ANSWERED = "darkroom_http_request_seconds_count"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Counting:
    """How much a metric rises within the context."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels

    def __enter__(self) -> "Counting":
        self._before = sample(self._name, **self._labels)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.rise = sample(self._name, **self._labels) - self._before


def test_a_public_route_needs_no_key() -> None:
    """Its endpoint gets the request alone."""
    assert client().get("/greeting").text == "hello"


def test_a_stream_is_traced_and_counted() -> None:
    """It is open while its events are sent, answered once, and ended by the server."""
    with (
        Counting(ANSWERED, method="GET", route=EVENTS_ROUTE, status="200") as answered,
        Counting(CLOSED, route=EVENTS_ROUTE, by="server") as closed,
    ):
        answer = client().get(EVENTS, headers=TRACED)
    assert answer.text == "data: good 1 1.0\n\ndata: good 2 1.0\n\n"
    assert answer.headers["traceparent"] == TRACEPARENT
    assert (answered.rise, closed.rise, sample(OPEN, route=EVENTS_ROUTE)) == (1, 1, 0)


def test_a_stream_without_a_key_is_a_problem() -> None:
    """The stream never begins."""
    with Counting(ANSWERED, method="GET", route=EVENTS_ROUTE, status="401") as answered:
        answer = client().get(EVENTS)
    assert (answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]) == (
        401,
        "unauthenticated",
        "Bearer",
    )
    assert answered.rise == 1


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_stream_whose_client_leaves_is_ended_by_the_client(spec_version: str) -> None:
    """Whether the server reports it as a message or, from ASGI 2.4 on, by an error of `send`: nothing is logged."""
    sent: list[Message] = []

    async def watch(request: Request, caller: Caller) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and spec_version == "2.4":
            raise OSError("the connection is closed")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "method": "GET",
        "path": EVENTS,
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer good")],
    }
    with structlog.testing.capture_logs() as logs, Counting(CLOSED, route=EVENTS_ROUTE, by="client") as closed:
        await app(watch=watch)(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (closed.rise, sample(OPEN, route=EVENTS_ROUTE), logs) == (1, 0, [])


def test_a_websocket_is_authenticated_traced_and_counted() -> None:
    """Its endpoint gets the caller, its logs have the trace id, and the handshake's response has the traceparent."""
    with (
        structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs,
        Counting(ANSWERED, method="GET", route=SOCKET_ROUTE, status="101") as answered,
        Counting(CLOSED, route=SOCKET_ROUTE, by="server") as closed,
        client().websocket_connect(SOCKET, headers=TRACED) as socket,
    ):
        assert (b"traceparent", TRACEPARENT.encode()) in (socket.extra_headers or [])
        assert socket.receive_text() == f"good {UUID(int=7)} 1.0"
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert ended.value.code == 1000
    assert [entry["trace_id"] for entry in logs if entry["event"] == "talking"] == [TRACE_ID]
    assert (answered.rise, closed.rise, sample(OPEN, route=SOCKET_ROUTE)) == (1, 1, 0)


def test_a_websocket_without_a_key_is_denied_with_a_problem() -> None:
    """The handshake is answered 401 with problem details, and the endpoint never runs."""
    with (
        Counting(ANSWERED, method="GET", route=SOCKET_ROUTE, status="401") as answered,
        pytest.raises(WebSocketDenialResponse) as denied,
        client().websocket_connect(SOCKET, headers={"traceparent": TRACEPARENT}),
    ):
        pass
    assert answered.rise == 1
    assert denied.value.status_code == 401
    assert denied.value.headers["content-type"] == "application/problem+json"
    assert denied.value.headers["traceparent"] == TRACEPARENT
    assert denied.value.json()["code"] == "unauthenticated"


def test_a_websocket_to_nowhere_is_denied_with_a_problem() -> None:
    """As a request to an address that does not exist."""
    with pytest.raises(WebSocketDenialResponse) as denied, client().websocket_connect("/v1/nothing", headers=KEY):
        pass
    assert (denied.value.status_code, denied.value.json()["code"]) == (404, "not_found")


async def test_a_websocket_is_closed_where_the_server_cannot_send_a_denial() -> None:
    """Without ASGI's denial extension the close before the accept makes the server answer 403."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": SOCKET, "query_string": b"", "headers": [], "subprotocols": []}
    with Counting(ANSWERED, method="GET", route=SOCKET_ROUTE, status="403") as answered:
        await app()(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "unauthenticated"}]
    assert answered.rise == 1


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (RuntimeError("secret prompt"), 1011, "internal"),
        (DatabaseUnavailableError("away"), 1013, "unavailable"),
        (ProblemError(ApiError.GONE, "The job was deleted."), 1008, "gone"),
    ],
)
def test_an_error_closes_an_accepted_websocket(error: Exception, code: int, reason: str) -> None:
    """The close code says whose fault it is, the reason is the problem's code, and nothing else is revealed."""

    async def fail(socket: WebSocket, caller: Caller) -> None:
        await socket.accept()
        raise error

    with (
        Counting(CLOSED, route=SOCKET_ROUTE, by="error") as closed,
        client(fail).websocket_connect(SOCKET, headers=KEY) as socket,
        pytest.raises(WebSocketDisconnect) as ended,
    ):
        socket.receive_text()
    assert (ended.value.code, ended.value.reason, closed.rise) == (code, reason, 1)


def test_a_client_that_closes_a_websocket_ends_it() -> None:
    """The endpoint sees the close, and nothing is an error."""
    with (
        structlog.testing.capture_logs() as logs,
        Counting(CLOSED, route=SOCKET_ROUTE, by="client") as closed,
        client().websocket_connect(SOCKET, headers=KEY) as socket,
    ):
        socket.receive_text()
        socket.close(1001)
    assert (closed.rise, sample(OPEN, route=SOCKET_ROUTE)) == (1, 0)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
