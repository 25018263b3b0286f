"""The route table: the whole API as data."""

from uuid import UUID

import pytest
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import HEALTH_ROUTES, ROUTES, Kind, Route, Service, job_urls

JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")

every_route = pytest.mark.parametrize("route", [*ROUTES, *HEALTH_ROUTES], ids=lambda route: route.name)


def test_each_route_has_one_owner() -> None:
    """The route table names each endpoint once, under the version's prefix."""
    endpoints = [(route.method, route.path) for route in ROUTES]
    assert len(set(endpoints)) == len(endpoints)
    assert len({route.name for route in (*ROUTES, *HEALTH_ROUTES)}) == len(ROUTES) + len(HEALTH_ROUTES)
    assert all(path.startswith("/v1/") for _, path in endpoints)


def test_writes_go_to_the_gateway() -> None:
    """The gateway answers the writes of jobs, and status answers the reads. Webhooks and operations answer both."""
    owners = {"/v1/operations": Service.OPERATIONS, "/v1/webhook-": Service.WEBHOOKS}
    for route in ROUTES:
        of_jobs = Service.STATUS if route.method == "GET" else Service.GATEWAY
        prefix = next((prefix for prefix in owners if route.path.startswith(prefix)), None)
        assert route.service == (owners[prefix] if prefix else of_jobs)


def test_only_health_is_public() -> None:
    """Every route under /v1 needs a key; the health routes need none and belong to every service."""
    assert all(route.scope is not None and route.service is not None for route in ROUTES)
    assert all(route.scope is None and route.service is None for route in HEALTH_ROUTES)


@every_route
def test_a_route_says_what_it_answers(route: Route) -> None:
    """Each route has a response, a summary that is a sentence, and no problem twice."""
    assert route.responses
    assert route.summary.endswith(".")
    assert all(response.description.endswith(".") for response in route.responses.values())
    assert len(set(route.problems)) == len(route.problems)


@every_route
def test_a_keyed_route_lists_the_problems_of_keys(route: Route) -> None:
    """Authentication may refuse, its look-up may fail, and any endpoint may have a bug."""
    if route.scope is not None:
        assert {ApiError.UNAUTHENTICATED, ApiError.FORBIDDEN, ApiError.UNAVAILABLE, ApiError.INTERNAL} <= {
            *route.problems
        }


@every_route
def test_a_route_with_a_body_lists_the_problems_of_bodies(route: Route) -> None:
    """Only a route with a body can refuse it as too large, malformed or of another type."""
    of_bodies = {ApiError.INVALID_JSON, ApiError.BODY_TOO_LARGE, ApiError.UNSUPPORTED_MEDIA_TYPE}
    assert of_bodies & {*route.problems} == (of_bodies if route.request else set())


@every_route
def test_a_route_with_a_query_refuses_wrong_ones(route: Route) -> None:
    """The problem of a wrong parameter is that of a wrong field, and an unknown one is wrong."""
    if route.query is not None:
        assert ApiError.INVALID_REQUEST in route.problems
        assert route.query.__struct_config__.forbid_unknown_fields


def test_a_template_has_no_types_in_its_parameters() -> None:
    """OpenAPI names parameters without a type."""
    assert [route.template for route in ROUTES if ":" in route.template] == []
    assert "/v1/jobs/{id}/cancel" in {route.template for route in ROUTES}


def test_a_route_waits_only_where_it_says_so() -> None:
    """The edge waits 30 s for every other route; streams begin at once."""
    assert [route.name for route in ROUTES if route.waits] == []
    assert {route.kind for route in ROUTES} == {Kind.HTTP}


@pytest.mark.parametrize(("method", "link"), [("GET", "self"), ("POST", "cancel"), ("POST", "retry")])
def test_a_job_s_links_lead_to_routes(method: str, link: str) -> None:
    """Every URL of a job matches one route of the table."""
    scope = {"type": "http", "method": method, "path": getattr(job_urls(JOB_ID), link), "root_path": ""}
    matches = [route for route in ROUTES if _starlette(route.path, route.method).matches(scope)[0] is Match.FULL]
    assert len(matches) == 1


def _starlette(path: str, method: str) -> StarletteRoute:
    async def endpoint(request: object) -> None:
        raise NotImplementedError

    return StarletteRoute(path, endpoint, methods=[method])
