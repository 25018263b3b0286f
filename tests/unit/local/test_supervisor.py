"""Calls of a supervisord that does not answer as one."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from darkroom_local import supervisor
from darkroom_local.home import Home
from darkroom_local.supervisor import Supervisor


class _Page(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><p>Another program")

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def another_program() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()


def test_a_supervisor_that_is_suspended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its socket accepts connections, and no answer comes."""
    monkeypatch.setattr(supervisor, "CALL_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as suspended:
        assert not Supervisor(Home(tmp_path), suspended.getsockname()[1], "a-password").answers()


def test_another_program_on_its_port_is_no_supervisor(tmp_path: Path) -> None:
    """What it answers is not XML-RPC."""
    with another_program() as port:
        assert not Supervisor(Home(tmp_path), port, "a-password").answers()
