"""What a tenant does with its endpoints over HTTP, and what a service that runs as a process then sends."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.declared import refusal
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

ENDPOINTS = "/v1/webhook-endpoints"
LOG = "/v1/webhook-deliveries"


@pytest.fixture
async def http(
    database: str, rows: asyncpg.Connection, start_service: ServiceFactory
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of the running service, with a key of the tenant `ada`."""
    service = await start_service(
        "webhooks",
        {
            "DARKROOM_DATABASE_URL": database,
            "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
            "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        },
    )
    headers = {"Authorization": f"Bearer {(await insert_key(rows, 'ada')).reveal()}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
async def shop(rows: asyncpg.Connection, http: httpx2.AsyncClient) -> Shop:
    """Return the jobs of the client's tenant."""
    return Shop(rows, await rows.fetchval("SELECT id FROM tenants WHERE name = 'ada'"))


async def change(http: httpx2.AsyncClient, reference: str, **fields: Any) -> None:
    """Change an endpoint."""
    response = await http.patch(f"{ENDPOINTS}/{reference}", json=fields)
    assert response.status_code == 200, response.text


async def standing(http: httpx2.AsyncClient, url: str) -> str:
    """Create an endpoint for canceled jobs, and return its id."""
    response = await http.post(ENDPOINTS, json={"url": url, "events": ["job.canceled"]})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def statuses(http: httpx2.AsyncClient, **query: str) -> list[str]:
    """Return the statuses of the deliveries in the log, the newest first."""
    response = await http.get(LOG, params=query)
    assert response.status_code == 200, response.text
    return [each["status"] for each in response.json()["deliveries"]]


async def test_a_tenant_s_urls_are_paused_together(http: httpx2.AsyncClient, shop: Shop, receiver: Receiver) -> None:
    """All of its jobs' URLs, neither its standing endpoints nor another tenant's URLs; resumed, they catch up."""
    await standing(http, f"{receiver.url}/standing")
    await change(http, "implicit", status="paused")
    for path in ("/a", "/b"):
        await shop.end(receiver.url + path)
    await (await shop.another()).end(f"{receiver.url}/of-another")
    requests = await receiver.received(3)
    assert sorted(request.path for request in requests) == ["/of-another", "/standing", "/standing"]
    assert await statuses(http, endpoint="implicit") == ["pending", "pending"]
    await change(http, "implicit", status="enabled")
    requests = await receiver.received(5)
    assert sorted(request.path for request in requests[3:]) == ["/a", "/b"]
    assert len({request.delivery_id for request in requests}) == 5


async def test_what_waits_for_a_deleted_endpoint_is_canceled(
    http: httpx2.AsyncClient, shop: Shop, receiver: Receiver
) -> None:
    """The log keeps it, and nothing sends it again."""
    endpoint, kept = await standing(http, f"{receiver.url}/deleted"), await standing(http, f"{receiver.url}/kept")
    for each in (endpoint, kept):
        await change(http, each, status="paused")
    await shop.end(None, 3)
    assert (await http.delete(f"{ENDPOINTS}/{endpoint}")).status_code == 204

    async def are_canceled() -> bool:
        return await statuses(http, endpoint=endpoint) == ["canceled"] * 3

    await eventually(are_canceled, what="the deliveries are canceled")
    assert await statuses(http, endpoint=kept) == ["pending"] * 3
    [canceled, *_] = (await http.get(LOG, params={"endpoint": endpoint})).json()["deliveries"]
    assert refusal(await http.post(f"{LOG}/{canceled['id']}/redeliver")) == (409, "endpoint_inactive", None)
    recovery = {"since": "2000-01-01T00:00:00Z"}
    assert (await http.post(f"{ENDPOINTS}/{endpoint}/recover", json=recovery)).status_code == 404
    await change(http, kept, status="enabled")
    await receiver.received(3)
    await eventually(lambda: _all_succeeded(shop), what="the kept endpoint's deliveries succeeded")
    assert {request.path for request in receiver.requests} == {"/kept"}


async def _all_succeeded(shop: Shop) -> bool:
    return await shop.count("pending") == 0 and await shop.count("succeeded") == 3
