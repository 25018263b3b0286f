"""The edge, held to the route table: Caddy in front of stubs that respond with their name, and of an S3 server."""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from chassis.service import http_server
from chassis.settings import Address
from darkroom_contracts.api import MAX_BODY_BYTES, Problem
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import ROUTES, Route
from darkroom_local.parts import Caddy
from darkroom_local.ports import LOOPBACK
from tests.support.endpoints import Bucket
from tests.support.ports import free_port
from tests.support.servers import LocalServer, temporary_folder
from tests.support.services import Services
from tests.support.stubs import StubServer, stub_server

CADDYFILE = Path(__file__).parents[2] / "deploy" / "caddy" / "Caddyfile"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SERVICES = ("gateway", "status", "operations")
ANSWER_SECONDS = 0.3
PATIENCE = {"read_header": "1s", "read_body": "1s"}
UNKNOWN_PATHS = (
    "/",
    "/v1",
    "/v1/jobs/",
    "/v2/jobs",
    "/v1/jobs/{id}/nothing",
    "/v1/nothing",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/operations/nothing",
    "/another-bucket/jobs/picture.png",
)


@dataclass(frozen=True)
class Edge:
    """A running edge, the stubs behind it, and its log."""

    url: str
    port: int
    stubs: dict[str, StubServer]
    bucket: Bucket
    server: LocalServer
    log: Path

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, timeout=10, trust_env=False)


@pytest.fixture(scope="module")
async def edge(services: Services) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as clean_up:
        stubs = {name: await clean_up.enter_async_context(stub_server(name)) for name in SERVICES}
        bucket = await services.object_store.create_bucket()
        clean_up.push_async_callback(services.object_store.delete_bucket, bucket)
        folder = temporary_folder("edge")
        upstreams = {name: stub.address for name, stub in stubs.items()} | {"s3": urlsplit(bucket.endpoint).netloc}
        part = Caddy(folder / "state", free_port(), CADDYFILE, upstreams, bucket.name, PATIENCE)
        server = LocalServer(part, folder)
        clean_up.push_async_callback(server.discard)
        await server.start()
        yield Edge(part.url, part.port, stubs, bucket, server, folder / "edge.log")


def concrete(path: str) -> str:
    """Return a path of the route table with values for its parameters."""
    return re.sub(r"\{\w+(:uuid)?\}", str(uuid4()), path)


def other_methods() -> list[tuple[str, str]]:
    """Return every known path with every method that the table does not list for it."""
    known = {(route.method, route.path) for route in ROUTES}
    paths = sorted({route.path for route in ROUTES})
    return [(method, path) for path in paths for method in METHODS if (method, path) not in known]


def problem(response: httpx2.Response) -> Problem:
    """Return the problem of a response, which must agree with the status line."""
    assert response.headers["content-type"] == "application/problem+json"
    decoded = msgspec.json.decode(response.content, type=Problem)
    assert decoded.status == response.status_code
    assert decoded.type.endswith(f"/{decoded.code}")
    assert decoded.code in list(ApiError)
    return decoded


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_reaches_its_service(edge: Edge, route: Route) -> None:
    """The edge sends each route to the service that the table names, with path and query unchanged."""
    target = concrete(route.path) + "?a=b"
    async with edge.client() as http:
        response = await http.request(route.method, target)
    assert response.headers["x-served-by"] == route.service
    assert edge.stubs[route.service].requests[-1] == f"{route.method} {target} HTTP/1.1"


@pytest.mark.parametrize(("method", "path"), other_methods())
async def test_another_method_reaches_a_service_that_refuses_it(edge: Edge, method: str, path: str) -> None:
    """A known path with another method reaches a service, which answers 405 with Allow from the table."""
    async with edge.client() as http:
        response = await http.request(method, concrete(path))
    assert response.headers["x-served-by"] in {route.service for route in ROUTES}


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
async def test_everything_else_is_a_404_problem(edge: Edge, path: str) -> None:
    """A path that the table does not list reaches no service; this includes health and metrics."""
    async with edge.client() as http:
        for method in ("GET", "POST"):
            response = await http.request(method, path.replace("{id}", str(uuid4())))
            assert response.status_code == 404
            assert problem(response).code == ApiError.NOT_FOUND


async def test_a_service_that_is_down_is_a_503_problem(edge: Edge, tmp_path: Path) -> None:
    """A service that does not listen: 503 with Retry-After, and no credentials in the edge's log."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    part = Caddy(tmp_path, free_port(), CADDYFILE, dict.fromkeys((*SERVICES, "s3"), nowhere), "darkroom")
    server = LocalServer(part, tmp_path)
    try:
        await server.start()
        async with httpx2.AsyncClient(base_url=part.url, trust_env=False) as http:
            for target in ("/v1/models", "/darkroom/jobs/picture.png?X-Amz-Signature=secret-signature"):
                response = await http.get(target, headers={"Authorization": "Bearer secret-key"})
                assert response.status_code == 503
                assert response.headers["retry-after"] == "5"
                assert problem(response).code == ApiError.UNAVAILABLE
    finally:
        await server.stop()
    log = (tmp_path / "edge.log").read_text()
    assert "/darkroom/jobs/picture.png" in log
    assert "secret" not in log


@asynccontextmanager
async def impatient_edge(stub: StubServer, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of an edge that has the stub behind every route and waits ANSWER_SECONDS for a response."""
    upstreams = dict.fromkeys((*SERVICES, "s3"), stub.address)
    patience = {"answer": f"{ANSWER_SECONDS}s"}
    part = Caddy(folder, free_port(), CADDYFILE, upstreams, "darkroom", patience)
    server = LocalServer(part, folder)
    try:
        await server.start()
        async with httpx2.AsyncClient(base_url=part.url, timeout=10, trust_env=False) as http:
            yield http
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/v1/jobs"), ("GET", "/v1/models"), ("GET", "/darkroom/jobs/picture.png")]
)
async def test_a_service_that_never_answers_is_a_503_problem(tmp_path: Path, method: str, target: str) -> None:
    """The wait is bounded: one request to the service, and a 503 with Retry-After that leaves the outcome open."""
    async with stub_server("silent", silent=True) as stub, impatient_edge(stub, tmp_path) as http:
        started = monotonic()
        response = await http.request(method, target)
        assert ANSWER_SECONDS <= monotonic() - started < ANSWER_SECONDS + 3
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        found = problem(response)
        assert (found.code, "is unknown" in str(found.detail)) == (ApiError.UNAVAILABLE, True)
        assert len(stub.requests) == 1


async def test_an_answer_that_began_may_take_its_time(tmp_path: Path) -> None:
    """Only the wait for the head of a response is bounded: streams and large pictures continue."""
    async with (
        stub_server("slow", body_after=ANSWER_SECONDS * 3) as stub,
        impatient_edge(stub, tmp_path) as http,
    ):
        response = await http.get("/v1/models")
    assert (response.status_code, response.content) == (200, b"slow")


def test_the_edge_waits_half_a_minute() -> None:
    """By default, for services and for pictures."""
    text = CADDYFILE.read_text()
    assert "response_header_timeout {$DARKROOM_EDGE_ANSWER:30s}" in text
    assert text.count("import upstream") == text.count("reverse_proxy {") == 2


def test_services_keep_connections_longer_than_the_edge_does() -> None:
    """A service that closes an idle connection first may lose a request, and a POST is not sent again."""
    text = CADDYFILE.read_text()
    (kept_by_the_edge,) = re.findall(r"^\s*keepalive (\d+)s$", text, re.MULTILINE)
    assert text.count("transport http") == 1
    service = http_server(Starlette(), Address("127.0.0.1", 8001))
    assert service.config.timeout_keep_alive >= int(kept_by_the_edge) + 10


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1000):
        yield b" " * 1000


@pytest.mark.parametrize("content", [b" " * 300_000, chunks(300_000)], ids=["announced", "chunked"])
async def test_a_large_body_is_a_413_problem(edge: Edge, content: bytes | AsyncIterator[bytes]) -> None:
    """A body above the edge's bound never reaches a service, with or without an announced size."""
    before = len(edge.stubs["gateway"].requests)
    async with edge.client() as http:
        response = await http.post("/v1/jobs", content=content)
    assert response.status_code == 413
    assert problem(response).code == ApiError.BODY_TOO_LARGE
    assert len(edge.stubs["gateway"].requests) == before


async def test_a_body_within_the_bound_passes(edge: Edge) -> None:
    """The largest body that a service accepts passes the edge."""
    async with edge.client() as http:
        response = await http.post("/v1/jobs", content=b" " * MAX_BODY_BYTES)
    assert response.status_code == 200


async def test_slow_headers_end_the_connection(edge: Edge) -> None:
    """A client that does not finish its headers is disconnected."""
    reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: slow\r\n")
    assert await asyncio.wait_for(reader.read(), timeout=10) == b""
    writer.close()


async def test_a_slow_body_never_reaches_a_service(edge: Edge) -> None:
    """A client that does not finish its body is disconnected, and no service receives the request."""
    before = len(edge.stubs["gateway"].requests)
    reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
    writer.write(b"POST /v1/jobs HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    answer = await asyncio.wait_for(reader.read(), timeout=10)
    writer.close()
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert len(edge.stubs["gateway"].requests) == before


async def test_oversized_headers_are_refused(edge: Edge) -> None:
    """Headers above the bound are answered with 431."""
    async with edge.client() as http:
        response = await http.get("/v1/models", headers={"X-Large": "x" * 32_000})
    assert response.status_code == 431


@pytest.fixture
async def picture(edge: Edge) -> str:
    """Return the presigned URL, through the edge, of a stored object."""
    key = f"jobs/{uuid4()}/0-abc.png"
    content = b"picture"
    put = edge.bucket.client().put_object
    await asyncio.to_thread(put, edge.bucket.name, key, io.BytesIO(content), len(content), "image/png")
    public = replace(edge.bucket, endpoint=edge.url)
    return public.client().presigned_get_object(public.name, key)


async def test_a_presigned_picture_is_served_through_the_edge(edge: Edge, picture: str) -> None:
    """A URL presigned for the edge's origin returns the picture, since the host reaches S3 unchanged."""
    async with edge.client() as http:
        response = await http.get(picture)
    assert response.status_code == 200
    assert response.content == b"picture"
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_wrong_signature_is_a_403_problem(edge: Edge, picture: str) -> None:
    """A refusal of S3 is a problem, with a wrong signature and without one."""
    async with edge.client() as http:
        for url in (picture[:-4] + "0000", picture.split("?")[0]):
            response = await http.get(url)
            assert response.status_code == 403
            assert problem(response).code == ApiError.FORBIDDEN


async def test_a_missing_picture_is_a_404_problem(edge: Edge) -> None:
    """A valid signature for an object that does not exist is a problem."""
    public = replace(edge.bucket, endpoint=edge.url)
    async with edge.client() as http:
        response = await http.get(public.client().presigned_get_object(public.name, "jobs/gone.png"))
    assert response.status_code == 404
    assert problem(response).code == ApiError.NOT_FOUND


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
async def test_pictures_are_read_only_at_the_edge(edge: Edge, method: str, picture: str) -> None:
    """No signature permits a write through the edge."""
    async with edge.client() as http:
        response = await http.request(method, picture, content=b"other")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert problem(response).code == ApiError.METHOD_NOT_ALLOWED


async def test_the_logs_hold_no_credentials(edge: Edge, picture: str) -> None:
    """An access is logged without its headers and without its query, where signatures and keys are."""
    secret = str(uuid4())
    async with edge.client() as http:
        await http.get(picture)
        await http.get(f"/v1/models?marker={secret}", headers={"Authorization": f"Bearer {secret}"})
    log = edge.log.read_text()
    assert urlsplit(picture).path in log
    assert secret not in log
    assert "X-Amz-Signature" not in log
