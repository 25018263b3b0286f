"""The edge under test: Caddy with the Caddyfile that is shipped."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import msgspec

from darkroom_contracts.api import Problem
from darkroom_contracts.errors import ApiError
from darkroom_local.home import REPOSITORY
from darkroom_local.parts import Caddy
from darkroom_local.ports import LOOPBACK
from darkroom_local.services import read_services
from tests.support.ports import free_port
from tests.support.servers import LocalServer, temporary_folder
from tests.support.stack import Stack

UPSTREAMS = (*(service.name for service in read_services() if service.edge), "s3")
"""Names of everything that the edge sends requests to."""
CADDYFILE = REPOSITORY / "deploy" / "caddy" / "Caddyfile"


@dataclass(frozen=True)
class Edge:
    """A running edge and its log."""

    url: str
    port: int
    log: Path

    def client(self, name: str = LOOPBACK) -> httpx2.AsyncClient:
        """Return a client of the edge under one of its names, which need not resolve."""
        headers = {"Host": f"{name}:{self.port}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=10, trust_env=False)


@asynccontextmanager
async def run_edge(
    upstreams: Mapping[str, str], bucket: str, timeouts: Mapping[str, str] | None = None
) -> AsyncIterator[Edge]:
    """Run an edge before the upstreams, by service and `s3`, as host:port."""
    folder = temporary_folder("edge")
    part = Caddy(folder / "state", free_port(), CADDYFILE, upstreams, bucket, timeouts or {})
    server = LocalServer(part, folder)
    try:
        await server.start()
        yield Edge(part.url, part.port, folder / "edge.log")
    finally:
        await server.discard()


@asynccontextmanager
async def run_edge_of(stack: Stack) -> AsyncIterator[Edge]:
    """Run an edge before the services of a stack and its S3."""
    bucket = stack.places.bucket
    upstreams = {
        service.name: f"{LOOPBACK}:{stack.core[service.package].port}" for service in read_services() if service.edge
    }
    async with run_edge(upstreams | {"s3": urlsplit(bucket.endpoint).netloc}, bucket.name) as edge:
        yield edge


def problem(response: httpx2.Response) -> Problem:
    """Return the problem of a response, which must agree with the status line."""
    assert response.headers["content-type"] == "application/problem+json"
    decoded = msgspec.json.decode(response.content, type=Problem)
    assert decoded.status == response.status_code
    assert decoded.type.endswith(f"/{decoded.code}")
    assert decoded.code in list(ApiError)
    return decoded
