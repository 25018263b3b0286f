"""The edge, held to the route table: Caddy in front of stubs that respond with their name."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette

from chassis.service import http_server
from chassis.settings import Address
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import ROUTES, Route
from darkroom_local.ports import LOOPBACK
from tests.support.edge import CADDYFILE, UPSTREAMS, Edge, problem, run_edge
from tests.support.ports import free_port
from tests.support.stubs import StubServer, stub_server

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
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
    "/v1/operations",
    "/v1/operations-nothing",
    "/v1/webhook-nothing",
    "/v1/webhook-endpoints/",
    "/v1/webhook-endpoints/{id}/nothing",
    "/v1/webhook-endpoints/{id}/test/nothing",
    "/v1/webhook-deliveries/{id}/test",
    "/another-bucket/jobs/picture.png",
)


@pytest.fixture(scope="module")
async def stubs() -> AsyncIterator[dict[str, StubServer]]:
    async with AsyncExitStack() as clean_up:
        yield {name: await clean_up.enter_async_context(stub_server(name)) for name in UPSTREAMS}


@pytest.fixture(scope="module")
async def edge(stubs: dict[str, StubServer]) -> AsyncIterator[Edge]:
    upstreams = {name: stub.address for name, stub in stubs.items()}
    async with run_edge(upstreams, "darkroom", PATIENCE) as edge:
        yield edge


def concrete(path: str) -> str:
    """Return a path of the route table with values for its parameters."""
    return re.sub(r"\{\w+(:uuid)?\}", str(uuid4()), path)


def other_methods() -> list[tuple[str, str]]:
    """Return every known path with every method that the table does not list for it."""
    known = {(route.method, route.path) for route in ROUTES}
    paths = sorted({route.path for route in ROUTES})
    return [(method, path) for path in paths for method in METHODS if (method, path) not in known]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_reaches_its_service(edge: Edge, stubs: dict[str, StubServer], route: Route) -> None:
    """The edge sends each route to the service that the table names, with path and query unchanged."""
    target = concrete(route.path) + "?a=b"
    async with edge.client() as http:
        response = await http.request(route.method, target)
    assert response.headers["x-served-by"] == route.service
    assert stubs[str(route.service)].requests[-1] == f"{route.method} {target} HTTP/1.1"


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


async def test_a_service_that_is_down_is_a_503_problem() -> None:
    """A service that does not listen: 503 with Retry-After, and no credentials in the edge's log."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    async with run_edge(dict.fromkeys(UPSTREAMS, nowhere), "darkroom") as edge, edge.client() as http:
        for target in ("/v1/models", "/darkroom/jobs/picture.png?X-Amz-Signature=secret-signature"):
            response = await http.get(target, headers={"Authorization": "Bearer secret-key"})
            assert response.status_code == 503
            assert response.headers["retry-after"] == "5"
            assert problem(response).code == ApiError.UNAVAILABLE
        log = edge.log.read_text()
    assert "/darkroom/jobs/picture.png" in log
    assert "secret" not in log


@asynccontextmanager
async def impatient_edge(stub: StubServer) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of an edge that has the stub behind every route and waits ANSWER_SECONDS for a response."""
    upstreams = dict.fromkeys(UPSTREAMS, stub.address)
    async with run_edge(upstreams, "darkroom", {"answer": f"{ANSWER_SECONDS}s"}) as edge, edge.client() as http:
        yield http


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/v1/jobs"), ("GET", "/v1/models"), ("GET", "/darkroom/jobs/picture.png")]
)
async def test_a_service_that_never_answers_is_a_503_problem(method: str, target: str) -> None:
    """The wait is bounded: one request to the service, and a 503 with Retry-After that leaves the outcome open."""
    async with stub_server("silent", silent=True) as stub, impatient_edge(stub) as http:
        started = monotonic()
        response = await http.request(method, target)
        assert ANSWER_SECONDS <= monotonic() - started < ANSWER_SECONDS + 3
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        found = problem(response)
        assert (found.code, "is unknown" in str(found.detail)) == (ApiError.UNAVAILABLE, True)
        assert len(stub.requests) == 1


async def test_an_answer_that_began_may_take_its_time() -> None:
    """Only the wait for the head of a response is bounded: streams and large pictures continue."""
    async with stub_server("slow", body_after=ANSWER_SECONDS * 3) as stub, impatient_edge(stub) as http:
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
async def test_a_large_body_is_a_413_problem(
    edge: Edge, stubs: dict[str, StubServer], content: bytes | AsyncIterator[bytes]
) -> None:
    """A body above the edge's bound never reaches a service, with or without an announced size."""
    before = len(stubs["gateway"].requests)
    async with edge.client() as http:
        response = await http.post("/v1/jobs", content=content)
    assert response.status_code == 413
    assert problem(response).code == ApiError.BODY_TOO_LARGE
    assert len(stubs["gateway"].requests) == before


async def test_a_body_within_the_bound_passes(edge: Edge) -> None:
    """The largest body that a service accepts passes the edge."""
    async with edge.client() as http:
        response = await http.post("/v1/jobs", content=b" " * MAX_BODY_BYTES)
    assert response.status_code == 200


async def test_an_offer_of_another_protocol_stays_at_the_edge(edge: Edge, stubs: dict[str, StubServer]) -> None:
    """A service that is offered h2c, as clients in Java do with their first request, loses the body."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    async with edge.client() as http:
        response = await http.post("/v1/jobs", content=b"{}", headers=offer)
    assert response.status_code == 200
    head = stubs["gateway"].heads[-1].lower()
    assert ("upgrade" in head, "http2-settings" in head) == (False, False)


async def test_slow_headers_end_the_connection(edge: Edge) -> None:
    """A client that does not finish its headers is disconnected."""
    reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
    writer.write(b"GET /v1/models HTTP/1.1\r\nHost: slow\r\n")
    assert await asyncio.wait_for(reader.read(), timeout=10) == b""
    writer.close()


async def test_a_slow_body_never_reaches_a_service(edge: Edge, stubs: dict[str, StubServer]) -> None:
    """A client that does not finish its body is disconnected, and no service receives the request."""
    before = len(stubs["gateway"].requests)
    reader, writer = await asyncio.open_connection(LOOPBACK, edge.port)
    writer.write(b"POST /v1/jobs HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    answer = await asyncio.wait_for(reader.read(), timeout=10)
    writer.close()
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert len(stubs["gateway"].requests) == before


async def test_oversized_headers_are_refused(edge: Edge) -> None:
    """Headers above the bound are answered with 431."""
    async with edge.client() as http:
        response = await http.get("/v1/models", headers={"X-Large": "x" * 32_000})
    assert response.status_code == 431


async def test_the_log_holds_no_credentials(edge: Edge) -> None:
    """An access is logged without its headers and without its query, where signatures and keys are."""
    secret = str(uuid4())
    async with edge.client() as http:
        await http.get(f"/v1/models?marker={secret}", headers={"Authorization": f"Bearer {secret}"})
    log = edge.log.read_text()
    assert "/v1/models" in log
    assert secret not in log
