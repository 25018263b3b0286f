"""A local receiver of webhooks: verifies and reports each delivery, and can forward it to an application."""

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx2
import msgspec

from darkroom import webhooks
from darkroom_contracts.webhooks.signing import ID_HEADER

MAX_BODY_BYTES = 1024 * 1024
MAX_CONNECTIONS = 32
EXCHANGE_SECONDS = 30.0
"""How long a request may take, from its connection to the end of its response."""
FORWARD_SECONDS = 15.0
"""As long as Darkroom waits for a response."""
_OF_THE_CONNECTION = {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"}
"""Headers that concern one connection, and are not forwarded."""

Headers = list[tuple[str, str]]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was received."""

    received_at: datetime
    id: str | None
    """`webhook-id`."""
    type: str | None
    job: str | None
    version: int | None
    verified: bool
    reason: str | None
    """Why it was not verified, or can't be read."""
    status: int
    """The response, which is the application's where the delivery was forwarded."""
    size_bytes: int
    error: str | None = None
    """Why it could not be forwarded."""


class Answer(NamedTuple):
    """The response to a delivery."""

    status: int
    retry_after: str | None = None
    error: str | None = None


class Listener(ThreadingHTTPServer):
    """The server. Reports each delivery before it answers it."""

    daemon_threads = False
    """`server_close` waits for the requests that are being answered, and for no others."""

    def __init__(
        self, address: tuple[str, int], *, secret: str | None, forward: str | None, report: Callable[[Received], None]
    ) -> None:
        """Bind the address; port 0 takes a free one. Raises OSError."""
        self.secret = secret
        self.report = report
        self.forwarder = Forwarder(forward) if forward else None
        self.failure: OSError | None = None
        """Why a delivery could not be reported. The server then stops: nobody sees what it receives."""
        self.unread: set[socket.socket] = set()
        """The connections whose request has not arrived as a whole."""
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)  # closes the server, and with it the forwarder, if it can't bind

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"

    def note(self, received: Received) -> bool:
        """Report a delivery, and return whether that was possible."""
        try:
            self.report(received)
        except OSError as error:
            self.failure = error
            self.shutdown()
            return False
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for the connection, when fewer than MAX_CONNECTIONS are open."""
        self._connections.acquire()
        self.unread.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.unread.discard(request)
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless it is only that the sender is gone."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        for connection in tuple(self.unread):
            _shut(connection)
        super().server_close()
        if self.forwarder:
            self.forwarder.close()


class Forwarder:
    """Sends the same bytes and headers to an application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx2.Client(timeout=FORWARD_SECONDS, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def send(self, headers: Headers, body: bytes) -> Answer:
        """Return the application's status, or 502 and 504 where it gave none."""
        kept = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers if _is_kept(name)]
        request = httpx2.Request("POST", self._url, headers=kept, content=body)
        try:
            answer = self._http.send(request, stream=True)
        except httpx2.TimeoutException:
            return Answer(HTTPStatus.GATEWAY_TIMEOUT, error=f"{self._url} did not respond in {FORWARD_SECONDS:g} s.")
        except httpx2.TransportError as error:
            return Answer(HTTPStatus.BAD_GATEWAY, error=f"{self._url} can't be reached: {error}")
        answer.close()
        return Answer(answer.status_code, answer.headers.get("Retry-After"))


def _is_kept(name: str) -> bool:
    return name.lower() not in _OF_THE_CONNECTION


class _Handler(BaseHTTPRequestHandler):
    """Answers one delivery on each connection."""

    server: Listener
    timeout = EXCHANGE_SECONDS
    server_version = "darkroom-webhooks-listen"

    def setup(self) -> None:
        super().setup()
        self._limit = threading.Timer(EXCHANGE_SECONDS, self._give_up)
        self._limit.start()

    def finish(self) -> None:
        self._limit.cancel()
        super().finish()

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return
        self.server.unread.discard(self.connection)
        headers = list(self.headers.items())
        received = inspect(headers, body, self.server.secret)
        forwarder = self.server.forwarder
        answer = forwarder.send(headers, body) if forwarder else Answer(received.status)
        if self.server.note(msgspec.structs.replace(received, status=answer.status, error=answer.error)):
            self._answer(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named as http.server calls it
        """Log nothing: each delivery is reported."""

    def _body(self) -> bytes | None:
        """Return the body, or None once the request is refused."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 9 or int(length) > MAX_BODY_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            return body if len(body) == int(length) else None  # the sender is gone
        return None

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        if answer.retry_after:
            self.send_header("Retry-After", answer.retry_after)
        if answer.status != HTTPStatus.NO_CONTENT:  # which has no length
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _give_up(self) -> None:
        _shut(self.connection)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # closed in the same moment
        connection.shutdown(socket.SHUT_RDWR)


def inspect(headers: Headers, body: bytes, secret: str | None) -> Received:
    """Return the delivery, with the status that a receiver should answer. Raises ValueError for a malformed secret."""
    found = {name.lower(): value for name, value in headers}
    reason, status = None if secret else "no secret was given", HTTPStatus.NO_CONTENT
    try:
        event = webhooks.unwrap(found, body, secret) if secret else webhooks.read("", body)
    except webhooks.UndecodableEventError as error:
        event, reason, status = None, str(error), HTTPStatus.BAD_REQUEST
    except webhooks.WebhookError as error:
        event, reason, status = _readable(body), str(error), HTTPStatus.UNAUTHORIZED
    job = event.data if isinstance(event, webhooks.JobEvent) else None
    return Received(
        received_at=datetime.now(UTC),
        id=found.get(ID_HEADER),
        type=event.type if event else None,
        job=str(job.id) if job else None,
        version=job.version if job else None,
        verified=reason is None,
        reason=reason,
        status=status,
        size_bytes=len(body),
    )


def _readable(body: bytes) -> webhooks.JobEvent | webhooks.Event | None:
    with suppress(webhooks.UndecodableEventError):
        return webhooks.read("", body)
    return None
