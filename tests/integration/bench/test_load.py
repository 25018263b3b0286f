"""The requests that wrk sends. Skipped where wrk is not installed; `make bench` installs it."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest

from bench.load import LoadError, Request, measure, write_paths

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


class Receiver(ThreadingHTTPServer):
    """Stores the requests' lines, keys and bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, str | None, bytes]] = []
        self.status = 200

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, self.headers["Idempotency-Key"], body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_each_submission_has_a_key_of_its_own(receiver: Receiver) -> None:
    """Every request has a new UUID as its key, in a second load too, and the given body."""
    wanted = Request(url=f"{receiver.origin}/v1/jobs", body=b'{"input": {}}', distinct_keys=True)
    for _ in range(2):
        measure(wanted, seconds=1, connections=2)
    assert {(method, path, body) for method, path, _, body in receiver.requests} == {
        ("POST", "/v1/jobs", b'{"input": {}}')
    }
    keys = [key for _, _, key, _ in receiver.requests]
    assert len(set(keys)) == len(keys)
    assert {UUID(key).version for key in keys} == {4}


def test_paths_are_asked_for_in_turn(receiver: Receiver, tmp_path: Path) -> None:
    """A path is repeated only after all others were requested."""
    paths = [f"/v1/jobs/{number}" for number in range(7)]
    measure(Request(url=receiver.origin, paths=write_paths(tmp_path / "paths", paths)), seconds=1, connections=1)
    asked_for = [path for _, path, _, _ in receiver.requests]
    assert set(asked_for[:7]) == set(paths)
    assert asked_for[7:14] == asked_for[:7]


def test_a_refusal_fails_the_load(receiver: Receiver) -> None:
    """A response other than 2xx and 3xx fails the load: a fast 429 is not a fast response."""
    receiver.status = 429
    with pytest.raises(LoadError, match="refused"):
        measure(Request(url=receiver.origin), seconds=1, connections=1)
