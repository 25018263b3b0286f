"""The picture of `make demo`."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from darkroom_local.demo import render_picture
from darkroom_local.errors import LocalError

_REFUSAL = b'{"type": "about:blank", "title": "No", "status": 422, "code": "invalid_request", "detail": "Refused."}'


class _Refusing(BaseHTTPRequestHandler):
    submitted: Any = None

    def do_POST(self) -> None:
        type(self).submitted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(422)
        self.send_header("Content-Length", str(len(_REFUSAL)))
        self.end_headers()
        self.wfile.write(_REFUSAL)

    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def test_the_model_of_the_stack_renders_it(tmp_path: Path) -> None:
    """The catalogue's default may be a model that no worker of this stack renders: that job would never end."""
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(LocalError, match="Refused"):
            render_picture(f"http://127.0.0.1:{server.server_port}", "dk_client_x", tmp_path, "a circle", "tiny")
        thread.join()
    assert _Refusing.submitted["model"] == "tiny"
