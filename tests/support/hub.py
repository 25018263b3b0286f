"""A stand-in for the Hugging Face hub, which tests can't reach: real HTTP, and the few endpoints that a pull uses.

It answers as the hub's API does for one repository at one commit: the tree of files, with sha256 for weights, and
their bytes with the headers that the hub's client asks for. Errors carry the hub's own `X-Error-Code`.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

REPOSITORY = "acme/tiny"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """One repository: the files of a folder. What happens to a test's requests can be changed while it runs."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.gated = False
        self.lost: set[str] = set()
        """Paths whose bytes are refused, as when the network breaks off."""
        self.altered: set[str] = set()
        """Paths whose last byte is changed on the way."""
        self.served: list[str] = []
        """Paths whose bytes were asked for."""

    def entries(self) -> list[dict[str, Any]]:
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        return [_entry(file.relative_to(self.folder).as_posix(), file.read_bytes()) for file in files]

    def content(self, path: str) -> bytes:
        content = (self.folder / path).read_bytes()
        return content[:-1] + bytes([content[-1] ^ 1]) if path in self.altered else content


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
    if path.endswith((".safetensors", ".bin")):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return cast("_Server", self.server).hub

    def log_message(self, *args: Any) -> None:
        """Log nothing; tests read `served` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if self.hub.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        elif path.startswith(f"api/models/{REPOSITORY}/tree/"):
            self._answer_tree(path)
        elif path.startswith(f"{REPOSITORY}/resolve/{REVISION}/"):
            self._answer_file(path.removeprefix(f"{REPOSITORY}/resolve/{REVISION}/"))
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _answer_tree(self, path: str) -> None:
        if path.endswith(REVISION):
            self._send(200, json.dumps(self.hub.entries()).encode(), {"Content-Type": "application/json"})
        else:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})

    def _answer_file(self, path: str) -> None:
        if self.command == "GET":
            self.hub.served.append(path)
            if path in self.hub.lost:
                self._send(403, b"", {})
                return
        content = self.hub.content(path)
        self._send(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": REVISION})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: Hub


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """Serve the folder's files as a repository on a free port of this machine."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = Hub(folder, f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
