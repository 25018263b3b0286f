"""The log over HTTP: queries, problems, and what no response holds."""

from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from prometheus_client import REGISTRY

from tests.integration.webhooks.history.log import Log
from tests.integration.webhooks.http_api import open_api
from tests.support.declared import refusal

LIST = "/v1/webhook-deliveries"


@pytest.fixture
async def log(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> Log:
    """Return the log of the client's tenant."""
    return Log(rows, await rows.fetchval("SELECT id FROM tenants WHERE name = 'shop'"))


async def read(client: httpx2.AsyncClient, **query: Any) -> Any:
    """Return the body of a page."""
    response = await client.get(LIST, params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_history_from_the_list_to_its_attempts(client: httpx2.AsyncClient, log: Log) -> None:
    """Pages, one delivery, and the same delivery sent again."""
    made = await log.deliver(await log.endpoint(), 3, "failed", job=(job := uuid4()))
    page = await read(
        client, limit=2, job=job, status="failed", event="job.failed", endpoint=(await log.row(made[0]))[1]
    )
    assert [item["id"] for item in page["deliveries"]] == [str(made[2]), str(made[1])]
    following = await read(client, limit=2, cursor=page["next_cursor"])
    assert [item["id"] for item in following["deliveries"]] == [str(made[0])]
    assert following["next_cursor"] is None
    item = following["deliveries"][0]
    assert (item["status"], item["last_attempt"]["status"], item["attempts_made"]) == ("failed", 500, 1)
    shown = (await client.get(f"{LIST}/{made[0]}")).json()
    assert shown == item | {"attempts": [item["last_attempt"]], "body": '{"type":"job.failed"}'}
    again = await client.post(f"{LIST}/{made[0]}/redeliver")
    assert (again.status_code, again.json()["status"], again.json()["failures"]) == (202, "pending", 0)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"cursor": "newest"}, "cursor"),
        ({"cursor": "A" * 101}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "1.5"}, "limit"),
        ({"job": "7"}, "job"),
        ({"job": "null"}, "job"),
        ({"status": "lost"}, "status"),
        ({"event": "job.exploded"}, "event"),
        ({"endpoint": "explicit"}, "endpoint"),
        ({"audience": "all"}, "audience"),
        ({"tenant": str(uuid4())}, "tenant"),
        ([("limit", "1"), ("limit", "2")], "limit"),
    ],
)
async def test_a_wrong_query_is_refused(client: httpx2.AsyncClient, query: Any, field: str) -> None:
    """Malformed, out of bounds, unknown or repeated: the problem names the parameter."""
    response = await client.get(LIST, params=query)
    assert refusal(response) == (422, "invalid_request", field)
    assert response.json()["detail"].startswith(field)


async def test_problems_of_one_delivery(client: httpx2.AsyncClient, stranger: httpx2.AsyncClient, log: Log) -> None:
    """An unknown id, a stranger's, and an endpoint that receives nothing."""
    endpoint = await log.endpoint()
    [delivery] = await log.deliver(endpoint)
    for path in (f"{LIST}/{delivery}", f"{LIST}/{uuid4()}"):
        answers = [await stranger.get(path), await stranger.post(f"{path}/redeliver")]
        assert [refusal(answer) for answer in answers] == [(404, "not_found", None)] * 2
    assert (await read(stranger))["deliveries"] == []
    await log.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE id = $1", endpoint)
    assert refusal(await client.post(f"{LIST}/{delivery}/redeliver")) == (409, "endpoint_inactive", None)
    assert (await client.get(f"{LIST}/{delivery}")).status_code == 200


async def test_operators_deliveries_need_an_operator_and_the_audience(
    client: httpx2.AsyncClient, operator: httpx2.AsyncClient, log: Log
) -> None:
    """A client is refused; an operator's list is that of its tenant without the audience."""
    operators = log.operators()
    [delivery] = await operators.deliver(await operators.endpoint(), event="webhook_endpoint.failing")
    assert refusal(await client.get(LIST, params={"audience": "operator"}))[0] == 403
    assert (await read(operator))["deliveries"] == []
    [item] = (await read(operator, audience="operator"))["deliveries"]
    assert item["id"] == str(delivery)
    assert (await operator.post(f"{LIST}/{delivery}/redeliver")).status_code == 202


async def test_a_recovery(client: httpx2.AsyncClient, log: Log) -> None:
    """By id and by `implicit`; the answer says that nothing follows, and since when deliveries are kept."""
    endpoint = await log.endpoint()
    await log.deliver(endpoint, 3, "canceled")
    body = {"since": "2000-01-01T00:00:00+02:00"}
    recovered = await client.post(f"/v1/webhook-endpoints/{endpoint}/recover", json=body)
    assert recovered.status_code == 200
    reply = recovered.json()
    assert (reply["redelivered"], reply["next_since"]) == (3, None)
    assert reply["kept_since"].endswith("Z")
    implicit = await client.post("/v1/webhook-endpoints/implicit/recover", json=body | {"include": "all"})
    assert implicit.json() == {"redelivered": 0, "next_since": None, "kept_since": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00Z", "include": "pending"}, "include"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "until"),
    ],
)
async def test_a_wrong_recovery_is_refused(client: httpx2.AsyncClient, body: Any, field: str) -> None:
    """A moment needs a time zone and lies in the past; the problem names the field."""
    response = await client.post("/v1/webhook-endpoints/implicit/recover", json=body)
    assert refusal(response) == (422, "invalid_request", field)


async def test_what_is_sent_again_is_counted(client: httpx2.AsyncClient, log: Log) -> None:
    """Deliveries of a recovery apart from single ones; a refused one is not counted."""
    before = {by: redeliveries(by) for by in ("one", "recovery")}
    made = await log.deliver(await log.implicit(), 3, "failed")
    await client.post(f"{LIST}/{made[0]}/redeliver")
    await client.post(f"{LIST}/{uuid4()}/redeliver")
    await client.post("/v1/webhook-endpoints/implicit/recover", json={"since": "2000-01-01T00:00:00Z"})
    assert {by: redeliveries(by) - count for by, count in before.items()} == {"one": 1, "recovery": 2}


async def test_a_tenant_sends_again_at_a_rate(database: str, rows: asyncpg.Connection) -> None:
    """Single deliveries and recoveries are counted apart; what is refused is not counted."""
    rates = {"DARKROOM_WEBHOOKS_REDELIVERIES_PER_HOUR": "2", "DARKROOM_WEBHOOKS_RECOVERIES_PER_HOUR": "1"}
    recovery = {"since": "2000-01-01T00:00:00Z"}
    async with open_api(database, rows, **rates) as api, api.client("shop") as client:
        log = Log(rows, await rows.fetchval("SELECT id FROM tenants WHERE name = 'shop'"))
        [delivery] = await log.deliver(await log.endpoint(), 1, "failed")
        assert (await client.post(f"{LIST}/{uuid4()}/redeliver")).status_code == 404
        for status in (202, 202, 429):
            answer = await client.post(f"{LIST}/{delivery}/redeliver")
            assert answer.status_code == status
        assert refusal(answer) == (429, "rate_limited", None)
        assert 0 < int(answer.headers["retry-after"]) <= 1800
        assert (await client.post(f"/v1/webhook-endpoints/{uuid4()}/recover", json=recovery)).status_code == 404
        for status in (200, 429):
            answer = await client.post("/v1/webhook-endpoints/implicit/recover", json=recovery)
            assert answer.status_code == status
        assert 0 < int(answer.headers["retry-after"]) <= 3600


def redeliveries(by: str) -> float:
    return REGISTRY.get_sample_value("darkroom_webhook_redeliveries_total", {"by": by}) or 0.0


async def test_no_response_has_what_a_receiver_answered(client: httpx2.AsyncClient, log: Log) -> None:
    """Nor a static header: tenants could read the insides of a network, or each other's secrets."""
    endpoint = await log.endpoint()
    await log.execute(
        "UPDATE webhook_endpoints SET header_names = '{x-token}', headers = 'sealed', headers_key = 'old'"
        " WHERE id = $1",
        endpoint,
    )
    [delivery] = await log.deliver(endpoint, 1, "failed")
    answers = [
        await client.get(LIST),
        await client.get(f"{LIST}/{delivery}"),
        await client.post(f"{LIST}/{delivery}/redeliver"),
    ]
    for answer in answers:
        assert answer.is_success
        assert answer.headers["cache-control"] == "no-store"
        assert not any(secret in answer.text for secret in ("internals", "sealed", "x-token"))
