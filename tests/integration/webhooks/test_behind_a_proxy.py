"""The service as a process behind an egress proxy."""

from functools import partial

import pytest

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.integration.webhooks.jobs import Shop
from tests.support.fixtures import ServiceFactory
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from tests.support.webhook_proxies import AUTHORIZATION, CREDENTIALS, ConnectProxy, proxying

HOST = "hooks.example.com"


@pytest.fixture
def settings(database: str) -> dict[str, str]:
    return {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": HOST,
        "DARKROOM_WEBHOOKS_EGRESS_PROXY_CHECKS_ADDRESSES": "true",
    }


def url_of(receiver: Receiver) -> str:
    return receiver.url.replace("127.0.0.1", HOST)


async def _has_ended(shop: Shop, outcome: str) -> bool:
    return [row["outcome"] for row in await shop.attempts()][:1] == [outcome]


async def test_deliveries_go_through_the_proxy(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop, receiver: Receiver
) -> None:
    """The proxy is asked for the receiver by its name, with the credentials of the settings."""
    behaviour = ConnectProxy({HOST: "127.0.0.1"}, authorization=AUTHORIZATION)
    async with proxying(behaviour) as proxy:
        url = f"http://{CREDENTIALS}{proxy.address}"
        service = await start_service("webhooks", settings | {"DARKROOM_WEBHOOKS_EGRESS_PROXY": url})
        await shop.end(url_of(receiver))
        await receiver.received(1)
        await eventually(partial(_has_ended, shop, "succeeded"))
    assert behaviour.heads[0].startswith(f"CONNECT {HOST}:".encode())
    assert "pa55" not in service.output()


async def test_a_proxy_that_refuses_credentials_costs_no_delivery(
    start_service: ServiceFactory, settings: dict[str, str], shop: Shop, receiver: Receiver
) -> None:
    """The attempt is released, the operator reads why, and neither log nor database has proxy or password."""
    async with proxying(ConnectProxy({HOST: "127.0.0.1"}, authorization=AUTHORIZATION)) as proxy:
        url = f"http://darkroom:other55@{proxy.address}"
        service = await start_service("webhooks", settings | {"DARKROOM_WEBHOOKS_EGRESS_PROXY": url})
        await shop.end(url_of(receiver))
        await eventually(partial(_has_ended, shop, "released"))
    assert await shop.count("pending") == 1
    [error] = {row["error"] for row in await shop.attempts()}
    assert error == "The operator's proxy refuses the service's credentials; nothing was sent."
    assert "egress proxy refuses the service's credentials" in service.output()
    assert "other55" not in service.output()
    assert receiver.requests == []
