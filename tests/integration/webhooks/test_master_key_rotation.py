"""The rotation of the master key, as an operator does it: settings, restarts, readiness and metrics of the process."""

from typing import Any

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.http_api import NEW_KEY, OLD_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.processes import ServiceProcess
from tests.support.receiver import Receiver
from tests.support.waiting import eventually

PATH = "/v1/webhook-endpoints"
BY_KEY = 'darkroom_webhook_endpoints_by_master_key{master_key="%s"}'


@pytest.fixture
def settings(database: str) -> dict[str, str]:
    return {"DARKROOM_DATABASE_URL": database, "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}


def keys(*master_keys: str) -> dict[str, str]:
    """Return the setting of the master keys, the primary one first."""
    return {"DARKROOM_WEBHOOKS_MASTER_KEYS": ",".join(master_keys)}


async def checks(service: ServiceProcess) -> dict[str, str]:
    """Return the outcomes of the readiness checks."""
    async with httpx2.AsyncClient(base_url=service.url, trust_env=False) as http:
        content: dict[str, Any] = (await http.get("/readyz")).json()
    found: dict[str, str] = content["checks"]
    return found


async def test_a_key_is_replaced_without_losing_a_delivery(
    settings: dict[str, str], rows: asyncpg.Connection, start_service: ServiceFactory, receiver: Receiver
) -> None:
    """Add the new key, put it first, rotate the secrets, remove the old key."""
    key = (await insert_key(rows, "shop")).reveal()
    headers = {"Authorization": f"Bearer {key}"}

    async def test_event(service: ServiceProcess) -> None:
        async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as http:
            assert (await http.post(f"{PATH}/{made['id']}/test")).status_code == 202
        await receiver.received(len(receiver.requests) + 1)
        assert receiver.requests[-1].headers["x-shop"] == "7"

    service = await start_service("webhooks", settings | keys(OLD_KEY))
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as http:
        made = (await http.post(PATH, json={"url": receiver.url, "headers": {"X-Shop": "7"}})).json()
    await test_event(service)
    await service.stop()
    service = await start_service("webhooks", settings | keys(NEW_KEY, OLD_KEY))
    await eventually(lambda: _has_key(rows, "headers_key", "new"), what="the headers are moved")
    await test_event(service)
    assert await service.metric(BY_KEY % "old") == 1
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as http:
        assert (await http.post(f"{PATH}/{made['id']}/rotate-secret")).status_code == 200
    await test_event(service)
    await service.stop()
    await rows.execute("UPDATE webhook_endpoints SET previous_until = now() WHERE rotation = 1")
    service = await start_service("webhooks", settings | keys(NEW_KEY))
    assert (await service.metric(BY_KEY % "new"), await service.metric(BY_KEY % "old")) == (1, 0)
    await test_event(service)


async def test_a_key_that_was_removed_too_early_is_named(
    settings: dict[str, str], rows: asyncpg.Connection, start_service: ServiceFactory, shop: Shop, receiver: Receiver
) -> None:
    """The service is not ready; what waits is sent once the key is there again, and nothing failed."""
    service = await start_service("webhooks", settings | keys(OLD_KEY))
    await shop.end(receiver.url)
    await receiver.received(1)
    await service.stop()
    wrong = await start_service("webhooks", settings | keys(NEW_KEY), wait_ready=False)
    await eventually(lambda: "webhook master keys missing" in wrong.output(), what="the error is logged")
    found = await checks(wrong)
    assert found["database"] == "ok"
    assert "'old' (1)" in found["master_keys"]
    assert await wrong.metric("darkroom_webhook_endpoints_without_master_key") == 1
    await shop.end(receiver.url)
    await wrong.stop()
    assert len(receiver.requests) == 1
    await start_service("webhooks", settings | keys(NEW_KEY, OLD_KEY))
    await receiver.received(2)
    await eventually(lambda: _are_delivered(shop, 2), what="both are delivered")
    assert {row["outcome"] for row in await shop.attempts()} == {"succeeded"}


async def test_another_key_under_the_same_id_ends_the_service(
    settings: dict[str, str], start_service: ServiceFactory, shop: Shop, receiver: Receiver
) -> None:
    """Before anything is signed with it. The old key, or another id, is accepted."""
    service = await start_service("webhooks", settings | keys(OLD_KEY))
    await service.stop()
    await shop.end(receiver.url)
    changed = f"old:{'77' * 32}"
    for wrong in (keys(changed), keys(NEW_KEY, changed)):
        ended = await start_service("webhooks", settings | wrong, wait_ready=False)
        assert await ended.wait() == 64
        assert "old named another key before" in ended.output()
        assert "77" * 32 not in ended.output()
    assert receiver.requests == []
    await start_service("webhooks", settings | keys(OLD_KEY, f"other:{'77' * 32}"))
    await receiver.received(1)


async def _has_key(rows: asyncpg.Connection, column: str, key: str) -> bool:
    return bool(await rows.fetchval(f"SELECT count(*) FROM webhook_endpoints WHERE {column} = $1", key))


async def _are_delivered(shop: Shop, count: int) -> bool:
    return await shop.count("succeeded") == count
