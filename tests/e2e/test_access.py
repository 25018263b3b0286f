"""Access: every route of the running services, through the edge, with every kind of key."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes import ROUTES, Route
from tests.support.access_rules import RULES, Data
from tests.support.edge import run_edge_of
from tests.support.keys import insert_key
from tests.support.stack import IDLE_MODEL, Stack
from tests.support.waiting import eventually

OWNER, STRANGER = "access-owner", "access-stranger"
NOW = datetime.now(UTC)
PARAMETER = re.compile(r"\{(\w+)\}")
UNKNOWN = {"id": "name", "model": "name", "name": "name", "index": "0"}
"""Values of parameters of the operators' routes, for things that do not exist."""

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


@dataclass
class World:
    """An edge before the stack, keys of two tenants, and what the first tenant has."""

    http: httpx2.AsyncClient
    keys: dict[str, dict[Scope, str]]
    job: str = ""
    endpoint: str = ""
    delivery: str = ""
    refused: dict[str, str | None] = field(default_factory=dict)
    """Values of Authorization that no route accepts, by what is wrong with them."""

    async def send(self, route: Route, path: str, authorization: str | None, body: Any = None) -> httpx2.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        content = {"json": body} if route.request is not None else {}
        return await self.http.request(route.method, path, headers=headers, **content)

    async def as_(self, tenant: str, scope: Scope, route: Route, path: str) -> httpx2.Response:
        """Send a request without a valid body, which changes nothing where the route needs one."""
        return await self.send(route, path, f"Bearer {self.keys[tenant][scope]}", [])

    def item_of(self, route: Route) -> str:
        """Return the id of the owner's item that a route is about."""
        name = next(name for name in ("job", "endpoint", "deliver") if name in f"{route.name} {route.path}")
        return {"job": self.job, "endpoint": self.endpoint, "deliver": self.delivery}[name]


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    """Give a tenant a job, an endpoint and a delivery, and keys of every scope; and another tenant keys as well."""
    rows = await asyncpg.connect(stack.places.database_url)
    keys = {
        tenant: {scope: (await insert_key(rows, tenant, scope=scope)).reveal() for scope in Scope}
        for tenant in (OWNER, STRANGER)
    }
    async with run_edge_of(stack) as edge, edge.client() as http:
        made = World(http, keys, refused=await _refused(rows, keys[OWNER][Scope.OPERATOR]))
        await _furnish(made, rows)
        yield made
    await rows.close()


async def _refused(rows: asyncpg.Connection, good: str) -> dict[str, str | None]:
    key = ApiKey.parse(good)
    assert key is not None
    expired = await insert_key(rows, OWNER, scope=Scope.OPERATOR, expires_at=NOW - timedelta(seconds=1))
    revoked = await insert_key(rows, OWNER, scope=Scope.OPERATOR, revoked_at=NOW)
    client = await insert_key(rows, OWNER)
    keys = {
        "malformed": "nonsense",
        "of two": f"{good} {good}",
        "mistyped": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "cut off": good[:-1],
        "unknown": ApiKey.generate(Scope.OPERATOR).reveal(),
        "of a wrong secret": ApiKey(key.scope, key.id, ApiKey.generate(key.scope).secret).reveal(),
        "raised to another scope": ApiKey(Scope.OPERATOR, client.id, client.secret).reveal(),
        "expired": expired.reveal(),
        "revoked": revoked.reveal(),
    }
    return {"absent": None, "empty": "Bearer", "of another scheme": f"Basic {good}"} | {
        n: f"Bearer {key}" for n, key in keys.items()
    }


async def _furnish(world: World, rows: asyncpg.Connection) -> None:
    headers = {"Authorization": f"Bearer {world.keys[OWNER][Scope.CLIENT]}"}
    endpoint = {"url": "http://127.0.0.1:9/hook", "events": ["job.canceled"]}
    world.endpoint = (await world.http.post("/v1/webhook-endpoints", json=endpoint, headers=headers)).json()["id"]
    job = {"model": IDLE_MODEL, "input": {"prompt": "a red circle"}}
    world.job = (await world.http.post("/v1/jobs", json=job, headers=headers)).json()["id"]
    assert (await world.http.post(f"/v1/jobs/{world.job}/cancel", headers=headers)).status_code == 200
    found = "SELECT id FROM webhook_deliveries WHERE job_id = $1"
    world.delivery = str(await rows.fetchval(found, world.job))


def path_of(route: Route, item: str | None = None) -> str:
    """Return a path of the route, to an item, or for operators' routes to nothing that exists."""
    values = dict.fromkeys(UNKNOWN, item) if item else UNKNOWN
    if ":uuid}" in route.path and item is None:
        values = values | {"id": str(uuid4())}
    values = values | {"index": "0"}
    return PARAMETER.sub(lambda match: str(values[match[1]]), route.template)


@every_route
async def test_no_route_accepts_a_wrong_key(world: World, route: Route) -> None:
    """All of them are refused before the address and the body are looked at.

    They are refused alike, except that the holder of an expired key learns that it expired.
    """
    path = path_of(route)
    answers = {name: await world.send(route, path, wrong, []) for name, wrong in world.refused.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(world.refused, 401)
    expired = answers.pop("expired")
    assert "The API key expired at" in expired.json()["detail"]
    assert len({answer.content for answer in answers.values()}) == 1
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in (expired, *answers.values()))


@every_route
async def test_a_route_accepts_the_scopes_of_its_rule(world: World, route: Route) -> None:
    """Other scopes are refused with 403, also for what exists; the request is looked at only after that."""
    rule = RULES[route.name]
    item = None if rule.data is Data.DESK else world.item_of(route) if rule.data is Data.OWN else None
    for scope in Scope:
        if scope in rule.allowed:
            answer = await world.as_(STRANGER, scope, route, path_of(route, item and str(uuid4())))
            assert answer.status_code not in (401, 403, 405), (scope, answer.text)
            assert answer.status_code < 500, answer.text
        else:
            answer = await world.as_(OWNER, scope, route, path_of(route, item))
            assert (answer.status_code, answer.json()["code"]) == (403, ApiError.FORBIDDEN), scope


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if RULES[route.name].data is Data.OWN], ids=lambda route: route.name
)
@pytest.mark.parametrize("scope", [Scope.CLIENT, Scope.OPERATOR])
async def test_another_tenants_item_is_as_unknown_as_none(world: World, route: Route, scope: Scope) -> None:
    """Byte for byte, to operators of another tenant too; to its own tenant it is known."""
    body = {} if route.request is None else {"since": NOW.isoformat()} if route.name == "recover_endpoint" else {}
    key = f"Bearer {world.keys[STRANGER][scope]}"
    foreign = await world.send(route, path_of(route, world.item_of(route)), key, body)
    unknown = await world.send(route, path_of(route, str(uuid4())), key, body)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content
    assert foreign.headers.keys() == unknown.headers.keys()


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if RULES[route.name].data is Data.LISTED], ids=lambda route: route.name
)
async def test_a_list_shows_what_the_keys_tenant_has(world: World, route: Route) -> None:
    """And nothing of another's, also to its operators."""
    item = world.item_of(route)
    assert item in (await world.as_(OWNER, Scope.CLIENT, route, route.path)).text
    for scope in (Scope.CLIENT, Scope.OPERATOR):
        answer = await world.as_(STRANGER, scope, route, route.path)
        assert answer.status_code == 200
        assert item not in answer.text


@pytest.mark.parametrize(
    "route",
    [
        route
        for route in ROUTES
        if RULES[route.name].data is Data.DESK and "{" not in route.path and route.method == "GET"
    ],
    ids=lambda route: route.name,
)
async def test_the_desk_is_the_same_for_every_tenants_operator(world: World, route: Route) -> None:
    """Operators and observers look at all tenants, whichever their key belongs to."""
    answers = [
        await world.as_(tenant, scope, route, route.path)
        for tenant in (OWNER, STRANGER)
        for scope in (Scope.OBSERVER, Scope.OPERATOR)
    ]
    assert {answer.status_code for answer in answers} == {200}


async def test_every_service_notes_the_use_of_keys(world: World, stack: Stack) -> None:
    """Within seconds, whichever service the key was used at."""
    rows = await asyncpg.connect(stack.places.database_url)
    routes = {route.service: route for route in ROUTES}
    used = []
    for route in routes.values():
        key = await insert_key(rows, OWNER, scope=Scope.OPERATOR)
        await world.send(route, path_of(route), f"Bearer {key.reveal()}", [])
        used.append(key.id)

    async def noted() -> bool:
        query = "SELECT count(*) FROM api_keys WHERE id = ANY ($1) AND last_used_at IS NOT NULL"
        return bool(await rows.fetchval(query, used) == len(used))

    await eventually(noted, seconds=30, what="each key's use was noted")
    assert len(used) == 4
    await rows.close()
