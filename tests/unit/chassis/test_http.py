"""HTTP: every error is problem+json, and bodies are bounded."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from chassis.auth import Caller
from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from chassis.health import Health
from chassis.http import Endpoint, build_app, read_body, reply
from chassis.problems import ProblemError
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import ROUTES, Service

AT_MOST = 100
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Anybody:
    """An authenticator that accepts every request."""

    async def authenticate(self, connection: HTTPConnection, scope: Scope) -> Caller:
        return Caller(UUID(int=1), "key", scope)


async def echo(request: Request, caller: Caller) -> Response:
    return reply({"length": len(await read_body(request, AT_MOST))})


@asynccontextmanager
async def serving(endpoint: Endpoint, health: Health | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a gateway with `endpoint` for all of its routes."""
    endpoints = {route.name: endpoint for route in ROUTES if route.service == Service.GATEWAY}
    app = build_app(Service.GATEWAY, endpoints, Anybody(), health or Health({}))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


def raising(error: Exception) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    async def fail(request: Request, caller: Caller) -> Response:
        raise error

    return serving(fail)


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Return status and code of a response, which must be a well-formed problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"].endswith(f"/{body['code']}")
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["code"]


async def test_an_address_that_is_not_there_is_404() -> None:
    """The response is problem+json, also for a slash too much: a redirect would lead to any host that is named."""
    async with serving(echo) as client:
        for path in ("/nowhere", "/v1/jobs/", "/healthz/"):
            assert problem(await client.post(path)) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", "POST"),
        ("GET", "/v1/jobs", "POST"),
        ("PROPFIND", "/v1/jobs", "POST"),
        ("TRACE", "/v1/models", "GET"),
        ("PATCH", f"/v1/jobs/{UUID(int=7)}", "DELETE, GET"),
        ("POST", "/healthz", "GET"),
    ],
)
async def test_another_method_is_405_with_those_allowed(method: str, path: str, allowed: str) -> None:
    """Methods that another service answers are listed too."""
    async with serving(echo) as client:
        answer = await client.request(method, path)
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "", "application/jsonx"])
async def test_another_content_type_is_415(content_type: str) -> None:
    """The body is not read."""
    async with serving(echo) as client:
        answer = await client.post("/v1/jobs", content=b"{}", headers={"content-type": content_type})
    assert problem(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_taken_with_parameters_and_in_any_case(content_type: str) -> None:
    """Media types are compared according to RFC 9110."""
    async with serving(echo) as client:
        answer = await client.post("/v1/jobs", content=b"{}", headers={"content-type": content_type})
    assert answer.json() == {"length": 2}


@pytest.mark.parametrize(("length", "status"), [(AT_MOST, 200), (AT_MOST + 1, 413), (AT_MOST * 1000, 413)])
async def test_a_body_past_the_bound_is_413(length: int, status: int) -> None:
    """The bound is inclusive."""
    async with serving(echo) as client:
        answer = await client.post("/v1/jobs", content=b"x" * length, headers={"content-type": "application/json"})
    assert answer.status_code == status
    if status == 413:
        assert problem(answer) == (413, "body_too_large")


async def test_a_body_without_a_length_is_bounded_too() -> None:
    """Reading stops at the bound, whatever length was announced."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10_000:
            sent += 10
            yield b"x" * 10

    async with serving(echo) as client:
        answer = await client.post("/v1/jobs", content=endless(), headers={"content-type": "application/json"})
    assert problem(answer) == (413, "body_too_large")
    assert sent <= AT_MOST + 20


async def test_a_bug_is_500_and_tells_nothing_of_itself() -> None:
    """It names the trace id that finds the bug in the logs."""
    async with raising(RuntimeError("secret prompt")) as client:
        answer = await client.post("/v1/jobs", headers={"traceparent": TRACEPARENT})
    assert problem(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["traceparent"] == TRACEPARENT
    assert TRACEPARENT[3:35] in answer.json()["detail"]


async def test_an_answer_that_breaks_off_is_not_begun_again() -> None:
    """The server sees the error and closes the connection, so that the body does not look complete."""

    async def break_off(request: Request, caller: Caller) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("the rest is lost")

        return StreamingResponse(parts())

    async with serving(break_off) as client:
        with pytest.raises(RuntimeError, match="the rest is lost"):
            await client.post("/v1/jobs")


async def test_a_database_away_is_503_with_retry_after() -> None:
    """This applies to every endpoint."""
    async with raising(DatabaseUnavailableError("password in here")) as client:
        answer = await client.post("/v1/jobs")
    assert problem(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "password" not in answer.text


async def test_a_write_in_doubt_says_so() -> None:
    """Only a statement that was never sent, or a read, is known to have done nothing."""
    async with raising(DatabaseUnavailableError("lost")) as client:
        assert "may or may not have been done" in (await client.post("/v1/jobs")).json()["detail"]
    async with raising(DatabaseUnavailableError("refused", in_doubt=False)) as client:
        assert "nothing was done" in (await client.post("/v1/jobs")).json()["detail"]


async def test_a_full_pool_is_503_with_a_short_retry_after() -> None:
    """The database is available, but too many requests use it at once."""
    async with raising(DatabaseBusyError("full")) as client:
        answer = await client.post("/v1/jobs")
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "Too many requests at once; nothing was done" in answer.json()["detail"]


async def test_a_transaction_that_lost_to_another_may_be_tried_again() -> None:
    """Postgres rolled the transaction back, so nothing was done."""
    async with raising(TransactionClashError("deadlock")) as client:
        answer = await client.post("/v1/jobs")
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "nothing was done" in answer.json()["detail"]


async def test_a_problem_names_the_field() -> None:
    """A problem without a field omits it."""
    async with raising(ProblemError(ApiError.INVALID_REQUEST, "too wide", field="input.width")) as client:
        answer = await client.post("/v1/jobs")
    assert answer.json()["field"] == "input.width"
    async with raising(ProblemError(ApiError.QUEUE_FULL, "full", headers={"Retry-After": "9"})) as client:
        answer = await client.post("/v1/jobs")
    assert "field" not in answer.json()
    assert answer.headers["retry-after"] == "9"


@pytest.mark.parametrize("sent", [TRACEPARENT, None])
async def test_every_answer_carries_the_trace(sent: str | None) -> None:
    """The trace is the caller's, or a new one."""
    headers = {"traceparent": sent} if sent else {}
    async with serving(echo) as client:
        answer = await client.get("/nowhere", headers=headers)
    assert answer.headers["traceparent"] == sent if sent else len(answer.headers["traceparent"]) == 55


def test_endpoints_must_be_those_of_the_route_table() -> None:
    """A missing or a surplus endpoint stops the service at its start."""
    endpoints = {route.name: echo for route in ROUTES if route.service == Service.GATEWAY}
    with pytest.raises(ValueError, match="Missing or unknown: delete_job"):
        build_app(Service.GATEWAY, {name: echo for name in endpoints if name != "delete_job"}, Anybody(), Health({}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Missing or unknown: brew_tea"):
        build_app(Service.GATEWAY, {**endpoints, "brew_tea": echo}, Anybody(), Health({}))  # type: ignore[arg-type]


async def failing() -> None:
    raise ConnectionError("refused")


async def working() -> None:
    return None


@pytest.mark.parametrize(
    ("checks", "status", "told"),
    [
        ({"a": working}, 200, {"ready": True, "checks": {"a": "ok"}}),
        ({"a": working, "b": failing}, 503, {"ready": False, "checks": {"a": "ok", "b": "refused"}}),
    ],
)
async def test_ready_means_that_every_check_passes(
    checks: dict[str, Callable[[], Any]], status: int, told: dict[str, Any]
) -> None:
    """The response names the check that fails."""
    async with serving(echo, Health(checks)) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (status, told)


async def test_a_draining_service_lives_but_is_not_ready() -> None:
    """A load balancer then sends it no new requests."""
    health = Health({})
    health.draining = True
    async with serving(echo, health) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_requests_are_counted_by_route_not_by_address() -> None:
    """Labels with ids would grow without bound."""
    job_id = str(uuid4())
    async with serving(echo) as client:
        await client.post(
            f"/v1/jobs/{job_id}/cancel", content=json.dumps({}), headers={"content-type": "application/json"}
        )
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/jobs/{id:uuid}/cancel"' in metrics
    assert job_id not in metrics
