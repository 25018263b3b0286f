"""GET /v1/webhook-endpoints, and who sees which endpoint."""

from uuid import uuid4

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.registry.made import PATH, make, read
from tests.support.declared import refusal

REQUESTS = [
    ("GET", "", None),
    ("PATCH", "", {"description": "mine"}),
    ("DELETE", "", None),
    ("POST", "/test", None),
    ("POST", "/rotate-secret", None),
    ("GET", "/stats", None),
    ("POST", "/recover", {"since": "2026-01-01T00:00:00Z"}),
]
every_request = pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=lambda value: str(value))


async def test_the_list_has_the_implicit_endpoint_first(client: httpx2.AsyncClient) -> None:
    """Then the standing ones by age, all without secrets."""
    made = [await make(client, description=name) for name in ("first", "second")]
    response = await client.get(PATH)
    assert response.headers["cache-control"] == "no-store"
    implicit, *standing = response.json()["endpoints"]
    assert (implicit["implicit"], implicit["url"], implicit["events"]) == (True, None, [])
    assert [each["id"] for each in standing] == [each["id"] for each in made]
    assert not any("secret" in each or "public_key" in each for each in (implicit, *standing))


async def test_the_implicit_endpoint_has_a_name(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Its secret is settled when it is first shown, and stays."""
    implicit = await read(client, "implicit")
    assert implicit["implicit"] is True
    assert await rows.fetchval("SELECT master_key FROM webhook_endpoints WHERE id = $1", implicit["id"]) == "old"
    assert await read(client, implicit["id"]) == implicit == await read(client, "implicit")


async def test_each_tenant_has_its_own(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient) -> None:
    """Lists, and what `implicit` stands for."""
    made = await make(client)
    theirs = (await stranger.get(PATH)).json()["endpoints"]
    assert [each["implicit"] for each in theirs] == [True]
    mine, their = await read(client, "implicit"), await read(stranger, "implicit")
    assert mine["id"] != their["id"]
    assert len({mine["secret"], their["secret"], made["secret"]}) == 3


@every_request
async def test_another_tenant_s_endpoint_is_unknown(
    client: httpx2.AsyncClient, stranger: httpx2.AsyncClient, method: str, path: str, body: object
) -> None:
    """The response is that to an id that does not exist, and nothing changes. This holds for the implicit one too."""
    for made in (await make(client), await read(client, "implicit")):
        foreign = await stranger.request(method, f"{PATH}/{made['id']}{path}", json=body)
        unknown = await stranger.request(method, f"{PATH}/{uuid4()}{path}", json=body)
        assert refusal(foreign) == refusal(unknown) == (404, "not_found", None)
        assert foreign.json()["detail"] == unknown.json()["detail"]
        assert await read(client, made["id"]) == made


@every_request
async def test_an_operators_endpoint_is_unknown_to_clients(
    client: httpx2.AsyncClient, operator: httpx2.AsyncClient, method: str, path: str, body: object
) -> None:
    """Operators reach it by its id."""
    made = await make(operator, audience="operator")
    assert refusal(await client.request(method, f"{PATH}/{made['id']}{path}", json=body)) == (404, "not_found", None)
    assert await read(operator, made["id"]) == made
    assert (await operator.request(method, f"{PATH}/{made['id']}{path}", json=body)).is_success


@every_request
async def test_an_operator_s_key_reaches_no_tenant(
    client: httpx2.AsyncClient, operator: httpx2.AsyncClient, method: str, path: str, body: object
) -> None:
    """Other than its own."""
    made = await make(client)
    assert refusal(await operator.request(method, f"{PATH}/{made['id']}{path}", json=body)) == (404, "not_found", None)


@pytest.mark.parametrize(
    "reference", ["Implicit", "none", "0", "{}", "urn:uuid:01993b5c-0000-7000-8000-000000000001", "0" * 32, "%00", "é"]
)
async def test_what_is_not_an_id_is_unknown(client: httpx2.AsyncClient, reference: str) -> None:
    """An id has one spelling but for its case."""
    assert refusal(await client.get(f"{PATH}/{reference}")) == (404, "not_found", None)
    made = await make(client)
    assert (await read(client, made["id"].upper()))["id"] == made["id"]


async def test_the_list_of_operators(client: httpx2.AsyncClient, operator: httpx2.AsyncClient) -> None:
    """For operators' keys only; it has no implicit endpoint, and theirs are in no tenant's list."""
    made, own = await make(operator, audience="operator"), await make(operator)
    listed = (await operator.get(PATH, params={"audience": "operator"})).json()["endpoints"]
    assert [each["id"] for each in listed] == [made["id"]]
    of_tenant = (await operator.get(PATH)).json()["endpoints"]
    assert [each["id"] for each in of_tenant if not each["implicit"]] == [own["id"]]
    refused = await client.get(PATH, params={"audience": "operator"})
    assert refusal(refused) == (403, "forbidden", None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("audience=all", "audience"),
        ("audience=", "audience"),
        ("audience=client&audience=operator", "audience"),
        ("status=paused", "status"),
    ],
)
async def test_a_wrong_query_is_named(client: httpx2.AsyncClient, query: str, field: str) -> None:
    """Unknown and repeated parameters too."""
    assert refusal(await client.get(f"{PATH}?{query}")) == (422, "invalid_request", field)
