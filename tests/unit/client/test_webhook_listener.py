import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import httpx2
import pytest

from darkroom import webhook_listener
from darkroom.webhook_listener import MAX_BODY_BYTES, Listener, Received
from darkroom.webhooks import unwrap
from tests.support.ports import free_port
from tests.support.waiting import eventually
from tests.support.webhooks import BODY, DELIVERY_ID, JOB_ID, OTHER_SECRET, SECRET, signed


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Serve in a thread, and yield the URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    host, port = server.server_address[:2]
    try:
        yield f"http://{host!s}:{port}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Application(HTTPServer):
    """An application that answers every request alike, and keeps what it received."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), _ApplicationHandler)
        self.status, self.headers = status, headers
        self.received: Queue[tuple[str, dict[str, str], bytes]] = Queue()


class _ApplicationHandler(BaseHTTPRequestHandler):
    server: Application

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.put((self.path, headers, body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()
    return f"http://{host}:{port}/"


class Running:
    """A listener that runs, and what it reported."""

    def __init__(self, secret: str | None = SECRET, forward: str | None = None) -> None:
        self.reports: Queue[Received] = Queue()
        self.server = Listener(("127.0.0.1", 0), secret=secret, forward=forward, report=self.reports.put)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.server_port), timeout=10)

    def post(self, body: bytes = BODY, headers: Any = None) -> tuple[httpx2.Response, Received]:
        with httpx2.Client(timeout=10, trust_env=False) as http:
            answer = http.post(self.server.url, content=body, headers=signed() if headers is None else headers)
        return answer, self.reports.get(timeout=10)


@contextmanager
def listening(secret: str | None = SECRET, forward: str | None = None) -> Iterator[Running]:
    running = Running(secret, forward)
    with serving(running.server):
        yield running


def test_a_verified_delivery_is_accepted_and_reported() -> None:
    """The report has the event, the job, its version and that the signature is valid."""
    with listening() as listener:
        answer, received = listener.post()
    assert (answer.status_code, answer.content) == (204, b"")
    assert (received.id, received.type, received.job) == (DELIVERY_ID, "job.succeeded", str(JOB_ID))
    assert (received.version, received.verified, received.reason, received.status) == (3, True, None, 204)
    assert received.size_bytes == len(BODY)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (lambda: signed(BODY, OTHER_SECRET), "No signature is valid"),
        (lambda: signed(seconds_ago=400), "s ago; check the clock"),
        (dict, "webhook-id is missing"),
    ],
)
def test_a_delivery_that_is_not_verified_is_refused_with_the_reason(
    headers: Callable[[], dict[str, str]], reason: str
) -> None:
    """It is answered by 401; what it claims to be is reported all the same."""
    with listening() as listener:
        answer, received = listener.post(headers=headers())
    assert (answer.status_code, received.status, received.verified) == (401, 401, False)
    assert reason in (received.reason or "")
    assert received.job == str(JOB_ID)


def test_a_signed_body_that_is_not_an_event_is_a_bad_request() -> None:
    """It is answered by 400 and reported without a type."""
    with listening() as listener:
        answer, received = listener.post(b"[]", signed(b"[]"))
    assert (answer.status_code, received.type, received.verified) == (400, None, False)
    assert "Unexpected body" in (received.reason or "")


def test_a_delivery_that_cannot_be_reported_is_not_acknowledged() -> None:
    """The server stops and its connection is closed without an answer, so the delivery is sent again."""

    def report(received: Received) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    server = Listener(("127.0.0.1", 0), secret=SECRET, forward=None, report=report)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    with server, httpx2.Client(timeout=10, trust_env=False) as http:
        thread.start()
        with pytest.raises(httpx2.RemoteProtocolError):
            http.post(server.url, content=BODY, headers=signed())
        thread.join(timeout=10)
    assert not thread.is_alive()
    assert isinstance(server.failure, BrokenPipeError)


def test_without_a_secret_nothing_is_verified() -> None:
    """Deliveries are accepted and shown, and each report says that it was not verified."""
    with listening(secret=None) as listener:
        answer, received = listener.post(headers={})
    assert (answer.status_code, received.verified, received.reason) == (204, False, "no secret was given")
    assert (received.id, received.type) == (None, "job.succeeded")


def test_the_application_receives_the_same_bytes_and_headers() -> None:
    """What is forwarded verifies there too, and the application's status is the answer."""
    headers = {**signed(), "User-Agent": "Darkroom/1", "Authorization": "Bearer of-the-receiver"}
    application = Application(418, **{"Retry-After": "7"})
    with serving(application) as url, listening(forward=url) as listener:
        answer, received = listener.post(headers=headers)
    path, forwarded, body = application.received.get_nowait()
    assert (answer.status_code, answer.headers["Retry-After"], received.status) == (418, "7", 418)
    assert (path, body) == ("/hook", BODY)
    assert {name.lower(): value for name, value in headers.items()}.items() <= forwarded.items()
    assert unwrap(forwarded, body, SECRET).id == DELIVERY_ID


def test_a_header_that_is_not_ascii_is_forwarded_as_it_is() -> None:
    """The bytes of a header's value are those that were received."""
    application = Application(204)
    with serving(application) as url, listening(forward=url) as listener:
        listener.post(headers={**signed(), "X-Shop": "caf\xe9".encode("latin-1")})
    _, forwarded, _ = application.received.get_nowait()
    assert forwarded["x-shop"] == "caf\xe9"


def test_a_delivery_that_is_not_verified_is_forwarded_too() -> None:
    """The application must refuse it by itself, and that can be tried out."""
    application = Application(204)
    with serving(application) as url, listening(forward=url) as listener:
        answer, received = listener.post(headers=signed(BODY, OTHER_SECRET))
    assert (answer.status_code, received.verified) == (204, False)
    assert application.received.get_nowait()[2] == BODY


def test_an_application_that_is_away_is_a_bad_gateway() -> None:
    """The delivery is still reported, with the reason."""
    with listening(forward=f"http://127.0.0.1:{free_port()}/") as listener:
        answer, received = listener.post()
    assert (answer.status_code, received.status, received.verified) == (502, 502, True)
    assert "can't be reached" in (received.error or "")


def test_an_application_that_does_not_answer_is_a_gateway_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener waits no longer than Darkroom does."""
    monkeypatch.setattr(webhook_listener, "FORWARD_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, listening(forward=url_of(silent)) as listener:
        answer, received = listener.post()
    assert (answer.status_code, received.status) == (504, 504)
    assert "did not respond in 0.1 s" in (received.error or "")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"POST / HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        ("GET / HTTP/1.1\r\n\r\n", 501),
    ],
)
def test_other_requests_are_refused_before_their_body_is_read(head: str, status: int) -> None:
    """The body is bounded, and its length must be known."""
    with listening() as listener, listener.connect() as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().split()[1] == str(status).encode()
        assert listener.reports.empty()


@pytest.mark.parametrize("head", [b"", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhalf"])
async def test_a_request_that_has_not_arrived_delays_no_end(head: bytes) -> None:
    """Ctrl-C ends the command at once, though somebody holds a connection."""
    with listening() as listener:
        connection = listener.connect()
        connection.sendall(head)
        await eventually(lambda: bool(listener.server.unread))
        began = time.monotonic()
    assert time.monotonic() - began < webhook_listener.EXCHANGE_SECONDS / 2
    with connection:
        assert connection.recv(1) == b""


def test_a_request_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that stops in the middle of a body holds its connection for a bounded time."""
    monkeypatch.setattr(webhook_listener, "EXCHANGE_SECONDS", 0.2)
    with listening() as listener, listener.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        assert connection.recv(1) == b""
        assert listener.reports.empty()


def test_connections_beyond_the_limit_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many senders stall, a bounded number of threads serves them, and a delivery comes through at last."""
    monkeypatch.setattr(webhook_listener, "EXCHANGE_SECONDS", 0.3)
    monkeypatch.setattr(webhook_listener, "MAX_CONNECTIONS", 2)
    with listening() as listener:
        before = threading.active_count()
        stalled = [listener.connect() for _ in range(8)]
        answer, _ = listener.post()
        assert answer.status_code == 204
        assert threading.active_count() - before < len(stalled)  # a thread and a timer for each of two, at most
        for connection in stalled:
            connection.close()


def test_a_sender_that_is_gone_is_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that is reset leaves nothing behind, and the next delivery is served."""
    with listening() as listener:
        with listener.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        assert listener.post()[0].status_code == 204
    assert capsys.readouterr().err == ""
