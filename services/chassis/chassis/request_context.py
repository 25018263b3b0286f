"""The layer that every request, stream and WebSocket passes through: trace, logs, metrics and errors."""

import time

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from chassis.problems import ProblemError, problem_of
from chassis.trace import trace_id, traceparent_from

DURATION = Histogram(
    "darkroom_http_request_seconds",
    "Time to answer a request; of a stream or a WebSocket, the time until it began.",
    ["method", "route", "status"],
)
OPEN_STREAMS = Gauge("darkroom_http_open_streams", "Streams and WebSockets that are open.", ["route"])
CLOSED_STREAMS = Counter(
    "darkroom_http_closed_streams_total",
    "Streams and WebSockets that ended, by what ended them: server, client or error.",
    ["route", "by"],
)
EVENT_STREAM = b"text/event-stream"

# Close codes of WebSockets: https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
NORMAL_CLOSURE = 1000
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013


class RequestContext:
    """Binds the trace id to the logs, echoes `traceparent`, measures, and answers errors with problems.

    An error before a WebSocket was accepted denies it with the problem as the response. A later one closes the
    WebSocket with the problem's code as the reason. A WebSocket that is still open when its endpoint returns is closed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope["traceparent"] = traceparent_from(_traceparent_header(scope))
        structlog.contextvars.bind_contextvars(trace_id=trace_id(scope["traceparent"]))
        exchange = (_WebSocket if scope["type"] == "websocket" else _Request)(scope, receive, send)
        try:
            await self._app(scope, exchange.receive, exchange.send)
            await exchange.finish()
        except (ClientDisconnect, WebSocketDisconnect):
            exchange.measure.ended_by = "client"
        except Exception as error:
            exchange.measure.ended_by = "error"
            await exchange.fail(error)
        finally:
            exchange.measure.finish()


class _Measure:
    """The metrics of one request, stream or WebSocket."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._started = time.perf_counter()
        self._stream: str | None = None
        self.ended_by = "server"
        self.status: int | None = None
        """Status of the response, once it has begun."""

    def begin_stream(self) -> None:
        self._observe()
        self._stream = self._route()
        OPEN_STREAMS.labels(self._stream).inc()

    def finish(self) -> None:
        if self._stream is None:
            self._observe()
            return
        OPEN_STREAMS.labels(self._stream).dec()
        CLOSED_STREAMS.labels(self._stream, self.ended_by).inc()

    def _observe(self) -> None:
        method, status = self._scope.get("method", "GET"), self.status or 500
        DURATION.labels(method, self._route(), status).observe(time.perf_counter() - self._started)

    def _route(self) -> str:
        """Return the path of the route, since addresses would make labels without bound."""
        return str(getattr(self._scope.get("route"), "path", "unknown"))


class _Request:
    """What a request's client and its endpoint send to each other. The response may be a stream."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._complete = False
        self.measure = _Measure(scope)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._complete:
            self.measure.ended_by = "client"
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.measure.status = message["status"]
            _add_traceparent(message, self._scope)
            if any(name == b"content-type" and value.startswith(EVENT_STREAM) for name, value in message["headers"]):
                self.measure.begin_stream()
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        """Do nothing: a response was sent."""

    async def fail(self, error: Exception) -> None:
        if self.measure.status is not None:
            raise error  # the server closes the connection: the client must not take half a response for a whole one
        response = problem_of(HTTPConnection(self._scope), error).response()
        await response(self._scope, self.receive, self.send)


class _WebSocket:
    """What a WebSocket's client and its endpoint send to each other."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._closed = False
        self.measure = _Measure(scope)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and not self._closed:
            self._closed = True
            self.measure.ended_by = "client"
        return message

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                self.measure.status = 101
                _add_traceparent(message, self._scope)
                self.measure.begin_stream()
            case "websocket.http.response.start":
                self.measure.status = message["status"]
                self._closed = True
                _add_traceparent(message, self._scope)
            case "websocket.close":
                self.measure.status = self.measure.status or 403  # which the server answers before an accept
                self._closed = True
        await self._send(message)

    async def finish(self) -> None:
        """Close the WebSocket if its endpoint did not."""
        if not self._closed:
            await self.send({"type": "websocket.close", "code": NORMAL_CLOSURE, "reason": ""})

    async def fail(self, error: Exception) -> None:
        problem = problem_of(HTTPConnection(self._scope), error)
        if self._closed:
            return
        if self.measure.status is None and "websocket.http.response" in self._scope.get("extensions", {}):
            await problem.response()(self._scope, self.receive, self.send)
        else:
            close = {"type": "websocket.close", "code": _close_code(problem), "reason": problem.problem.code}
            await self.send(close)


def _close_code(problem: ProblemError) -> int:
    status = problem.problem.status
    if status == 503:
        return TRY_AGAIN_LATER
    return POLICY_VIOLATION if status < 500 else INTERNAL_ERROR


def _add_traceparent(message: Message, scope: Scope) -> None:
    message["headers"] = [*message.get("headers", ()), (b"traceparent", scope["traceparent"].encode())]


def _traceparent_header(scope: Scope) -> str | None:
    """Return the header's value; ASGI servers give names in lower case."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
