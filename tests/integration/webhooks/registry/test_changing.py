"""PATCH and DELETE /v1/webhook-endpoints/{id}."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.http_api import OLD_KEY
from tests.integration.webhooks.registry.made import PATH, change, make, read
from tests.support.declared import refusal
from webhooks.secrets import MasterKeys

FAILING = """
    UPDATE webhook_endpoints SET failing_since = now() - interval '3 days', warned_at = now() - interval '1 day',
        status = $2, disabled_reason = CASE WHEN $2 = 'disabled' THEN 'It failed.' END
    WHERE id = $1
"""
FIELDS: dict[str, Any] = {
    "url": "https://example.com/other",
    "description": "Another",
    "events": ["job.succeeded"],
    "metadata_filter": {"shop": "7"},
    "ed25519": True,
    "status": "paused",
}


@pytest.mark.parametrize("field", FIELDS)
async def test_a_field_changes_alone(client: httpx2.AsyncClient, field: str) -> None:
    """All that is absent stays as it was."""
    made = await make(client, description="One", metadata_filter={"a": "b"}, headers={"x-a": "v"})
    changed = await change(client, made["id"], **{field: FIELDS[field]})
    assert "secret" not in changed
    assert changed.pop("updated_at") > made.pop("updated_at")
    assert {name: value for name, value in changed.items() if value != made[name]} == {field: FIELDS[field]}
    found = await read(client, made["id"])
    assert (found[field], found["secret"]) == (FIELDS[field], made["secret"])


async def test_headers_are_replaced(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """All of them at once, since nobody can read those that are kept; an empty object removes them."""
    made = await make(client, headers={"x-a": "1", "x-b": "2"})
    changed = await change(client, made["id"], headers={"X-C": "3"})
    assert changed["header_names"] == ["x-c"]
    stored = await rows.fetchrow("SELECT headers, headers_key FROM webhook_endpoints WHERE id = $1", made["id"])
    keys = MasterKeys([OLD_KEY])
    assert keys.decrypt_headers(stored["headers_key"], UUID(made["id"]), stored["headers"]) == {"x-c": "3"}
    assert (await change(client, made["id"], description="x"))["header_names"] == ["x-c"]
    assert (await change(client, made["id"], headers={}))["header_names"] == []
    assert await rows.fetchval("SELECT headers IS NULL FROM webhook_endpoints WHERE id = $1", made["id"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "http://example.com"}, "url"),
        ({"url": "https://127.1/"}, "url"),
        ({"url": None}, "url"),
        ({"description": None}, "description"),
        ({"events": []}, "events"),
        ({"events": ["job.lost"]}, "events[0]"),
        ({"metadata_filter": None}, "metadata_filter"),
        ({"headers": {"Host": "v"}}, "headers.Host"),
        ({"headers": {"x-a": "\n"}}, "headers"),
        ({"ed25519": 1}, "ed25519"),
        ({"status": "disabled"}, "status"),
        ({"status": None}, "status"),
        ({"audience": "operator"}, "audience"),
        ({"rotation": 7}, "rotation"),
        ({"description": "x", "url": "ftp://example.com"}, "url"),
    ],
)
async def test_a_wrong_change_is_refused_whole(client: httpx2.AsyncClient, body: dict[str, Any], field: str) -> None:
    """The field is named, and nothing changes."""
    made = await make(client)
    response = await client.patch(f"{PATH}/{made['id']}", json=body)
    assert refusal(response) == (422, "invalid_request", field)
    assert await read(client, made["id"]) == made


async def test_an_operators_endpoint_keeps_to_its_events(operator: httpx2.AsyncClient) -> None:
    """Jobs are not among them."""
    made = await make(operator, audience="operator")
    assert (await change(operator, made["id"], events=["webhook_endpoint.disabled"]))["events"] == [
        "webhook_endpoint.disabled"
    ]
    for body, field in (
        ({"events": ["job.failed"]}, "events[0]"),
        ({"metadata_filter": {"a": "b"}}, "metadata_filter"),
    ):
        response = await operator.patch(f"{PATH}/{made['id']}", json=body)
        assert refusal(response) == (422, "invalid_request", field)


async def test_changes_at_once_all_hold(client: httpx2.AsyncClient) -> None:
    """Each begins with what the one before it left."""
    made = await make(client)
    await asyncio.gather(*(change(client, made["id"], **{name: value}) for name, value in FIELDS.items()))
    found = await read(client, made["id"])
    assert {name: found[name] for name in FIELDS} == FIELDS


@pytest.mark.parametrize("status", ["paused", "disabled"])
async def test_enabled_again_it_begins_anew(client: httpx2.AsyncClient, rows: asyncpg.Connection, status: str) -> None:
    """What failed before does not count, and waiting deliveries have their whole schedule again."""
    made = await make(client)
    await rows.execute(FAILING, made["id"], status)
    assert (await read(client, made["id"]))["failing_since"] is not None
    changed = await change(client, made["id"], status="enabled")
    assert (changed["status"], changed["disabled_reason"], changed["failing_since"]) == ("enabled", None, None)
    row = await rows.fetchrow(
        "SELECT warned_at, now() - resumed_at AS age FROM webhook_endpoints WHERE id = $1", made["id"]
    )
    assert row["warned_at"] is None
    assert row["age"].total_seconds() < 60


async def test_enabling_what_is_enabled_forgives_nothing(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Otherwise a client that repeats itself would keep a dead receiver alive."""
    made = await make(client)
    await rows.execute(FAILING, made["id"], "enabled")
    before = await read(client, made["id"])
    assert (await change(client, made["id"], status="enabled"))["failing_since"] == before["failing_since"] is not None
    assert (await change(client, made["id"], status="paused"))["failing_since"] == before["failing_since"]
    row = await rows.fetchrow("SELECT warned_at, resumed_at FROM webhook_endpoints WHERE id = $1", made["id"])
    assert (row["warned_at"] is None, row["resumed_at"]) == (False, None)


async def test_another_url_begins_anew(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The failures were another receiver's."""
    made = await make(client)
    await rows.execute(FAILING, made["id"], "enabled")
    assert (await change(client, made["id"], url=made["url"]))["failing_since"] is not None
    assert (await change(client, made["id"], url=made["url"] + "/2"))["failing_since"] is None


async def test_a_disabled_endpoint_can_be_paused(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """It then keeps its deliveries again, without sending them."""
    made = await make(client)
    await rows.execute(FAILING, made["id"], "disabled")
    changed = await change(client, made["id"], status="paused")
    assert (changed["status"], changed["disabled_reason"]) == ("paused", None)


async def test_enabling_wakes_a_dispatcher(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Deliveries that waited are sent at once."""
    made, woken = await make(client), asyncio.Event()
    await rows.add_listener("darkroom_webhooks", lambda *_: woken.set())
    await change(client, made["id"], status="paused")
    await rows.execute("SELECT 1")  # which receives notifications
    assert not woken.is_set()
    await change(client, made["id"], status="enabled")
    async with asyncio.timeout(10):
        await woken.wait()


async def test_the_implicit_endpoint_can_be_paused_and_given_a_key_pair(client: httpx2.AsyncClient) -> None:
    """And enabled again."""
    assert (await change(client, "implicit", status="paused"))["status"] == "paused"
    assert (await change(client, "implicit", status="enabled", ed25519=True))["status"] == "enabled"
    assert (await read(client, "implicit"))["public_key"].startswith("whpk_")


@pytest.mark.parametrize("field", ["url", "description", "events", "metadata_filter"])
async def test_the_implicit_endpoint_has_nothing_else(client: httpx2.AsyncClient, field: str) -> None:
    """Every job has its own URL and events."""
    response = await client.patch(f"{PATH}/implicit", json={"status": "paused", field: FIELDS[field]})
    assert refusal(response) == (422, "invalid_request", field)
    assert refusal(await client.patch(f"{PATH}/implicit", json={"headers": {}})) == (422, "invalid_request", "headers")
    assert (await read(client, "implicit"))["status"] == "enabled"


async def test_a_deleted_endpoint_is_gone(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """For every route. Its row stays for the log, without credentials."""
    made = await make(client, headers={"authorization": "Bearer t"})
    for status in (204, 404):
        assert (await client.delete(f"{PATH}/{made['id']}")).status_code == status
    assert refusal(await client.get(f"{PATH}/{made['id']}")) == (404, "not_found", None)
    assert refusal(await client.patch(f"{PATH}/{made['id']}", json={})) == (404, "not_found", None)
    assert [each["implicit"] for each in (await client.get(PATH)).json()["endpoints"]] == [True]
    row = await rows.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", made["id"])
    assert (row["headers"], row["headers_key"], row["header_names"]) == (None, None, [])
    assert row["deleted_at"] is not None


async def test_changes_do_not_revive_a_deleted_endpoint(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Those that waited for the deletion find nothing, and leave no credentials behind."""
    made = await make(client, headers={"authorization": "Bearer t"})
    path, body = f"{PATH}/{made['id']}", {"headers": {"authorization": "Bearer u"}, "status": "paused"}
    requests = [client.delete(path), *(client.patch(path, json=body) for _ in range(6)), client.delete(path)]
    statuses = [response.status_code for response in await asyncio.gather(*requests)]
    assert sorted((statuses[0], statuses[-1])) == [204, 404]
    assert set(statuses[1:-1]) <= {200, 404}
    row = await rows.fetchrow("SELECT deleted_at, headers FROM webhook_endpoints WHERE id = $1", made["id"])
    assert (row["deleted_at"] is None, row["headers"]) == (False, None)


async def test_the_implicit_endpoint_can_t_be_deleted(client: httpx2.AsyncClient) -> None:
    """It can be paused instead."""
    implicit = await read(client, "implicit")
    for reference in ("implicit", implicit["id"]):
        response = await client.delete(f"{PATH}/{reference}")
        assert refusal(response) == (409, "implicit_endpoint", None)
        assert "Pause it" in response.json()["detail"]
