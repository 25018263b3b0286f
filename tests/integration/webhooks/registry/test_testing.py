"""POST /v1/webhook-endpoints/{id}/test."""

import json

import asyncpg
import httpx2

from tests.integration.webhooks.registry.made import PATH, change, make
from tests.support.declared import refusal


async def test_a_test_event_is_recorded(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """For this endpoint alone, whatever events it asked for."""
    made = await make(client, events=["job.failed"])
    await make(client)
    response = await client.post(f"{PATH}/{made['id']}/test")
    assert response.status_code == 202
    (delivery,) = await rows.fetch("SELECT * FROM webhook_deliveries")
    assert response.json() == {"delivery_id": str(delivery["id"])}
    assert (str(delivery["endpoint_id"]), delivery["event"]) == (made["id"], "webhook_endpoint.test")
    assert (delivery["url"], delivery["status"], delivery["job_id"]) == (made["url"], "pending", None)
    assert json.loads(delivery["snapshot"]) == {"endpoint_id": made["id"]}


async def test_an_operators_endpoint_can_be_tested(operator: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Its delivery belongs to no tenant."""
    made = await make(operator, audience="operator")
    assert (await operator.post(f"{PATH}/{made['id']}/test")).status_code == 202
    assert [row["tenant_id"] for row in await rows.fetch("SELECT tenant_id FROM webhook_deliveries")] == [None]


async def test_what_can_t_receive_it_is_refused(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The implicit endpoint has no URL, and a disabled one receives nothing; a paused one receives it later."""
    assert refusal(await client.post(f"{PATH}/implicit/test")) == (409, "implicit_endpoint", None)
    made = await make(client)
    await rows.execute(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'gone' WHERE id = $1", made["id"]
    )
    assert refusal(await client.post(f"{PATH}/{made['id']}/test")) == (409, "endpoint_inactive", None)
    assert await rows.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
    await change(client, made["id"], status="paused")
    assert (await client.post(f"{PATH}/{made['id']}/test")).status_code == 202
