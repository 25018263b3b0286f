"""How often a tenant may send test events and create endpoints: 429 with Retry-After, whichever process it asks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import httpx2
import pytest

from darkroom_contracts.api import Scope
from tests.integration.webhooks.http_api import open_api
from tests.integration.webhooks.registry.made import PATH, URL, make, read
from tests.support.declared import refusal

RATES = {"DARKROOM_WEBHOOKS_CREATIONS_PER_HOUR": "3", "DARKROOM_WEBHOOKS_TESTS_PER_HOUR": "4"}
MINUTES_BETWEEN_TESTS = 15
LATER = "UPDATE webhook_allowances SET spent_until = spent_until - $1::integer * interval '1 minute'"


@pytest.fixture
async def clients(database: str, rows: asyncpg.Connection) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """Yield clients of a tenant, each of an API with a pool of its own: two processes, as far as rates know."""
    async with AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(open_api(database, rows, **RATES)) for _ in range(2)]
        yield [await stack.enter_async_context(api.client("shop")) for api in apis]


async def test_of_many_tests_at_once_as_many_as_allowed_are_sent(
    clients: list[httpx2.AsyncClient], rows: asyncpg.Connection
) -> None:
    """Two processes share the rate, and what is refused records nothing and is not counted."""
    made = await make(clients[0])
    path = f"{PATH}/{made['id']}/test"
    answers = await asyncio.gather(*(client.post(path) for client in clients * 6))
    assert Counter(answer.status_code for answer in answers) == {202: 4, 429: 8}
    assert await rows.fetchval("SELECT count(*) FROM webhook_deliveries") == 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refusal(refused) == (429, "rate_limited", None)
    assert 0 < int(refused.headers["retry-after"]) <= MINUTES_BETWEEN_TESTS * 60
    assert refused.headers["retry-after"] in refused.json()["detail"]


async def test_after_the_time_that_was_named_one_more_is_sent(
    clients: list[httpx2.AsyncClient], rows: asyncpg.Connection
) -> None:
    """One for each part of the hour that has passed; after the whole hour all of them again, and no more."""
    path = f"{PATH}/{(await make(clients[0]))['id']}/test"
    for minutes, allowed in ((0, 4), (MINUTES_BETWEEN_TESTS, 1), (2 * MINUTES_BETWEEN_TESTS, 2), (600, 4)):
        await rows.execute(LATER, minutes)
        answers = [(await clients[number % 2].post(path)).status_code for number in range(allowed + 1)]
        assert answers == [202] * allowed + [429]


async def test_an_endpoint_that_was_deleted_counts_as_created(
    clients: list[httpx2.AsyncClient], rows: asyncpg.Connection
) -> None:
    """Endpoints can't be created and deleted over and over: deleted rows stay for as long as their log."""
    for number in range(3):
        client = clients[number % 2]
        assert (await client.delete(f"{PATH}/{(await make(client))['id']}")).status_code == 204
    refused = await clients[0].post(PATH, json={"url": URL})
    assert refusal(refused) == (429, "rate_limited", None)
    assert 0 < int(refused.headers["retry-after"]) <= 20 * 60
    assert await rows.fetchval("SELECT count(*) FROM webhook_endpoints WHERE NOT implicit") == 3


async def test_what_is_refused_is_not_counted(clients: list[httpx2.AsyncClient], rows: asyncpg.Connection) -> None:
    """Mistakes use up nothing."""
    client, _ = clients
    disabled = (await make(client))["id"]
    await rows.execute(
        "UPDATE webhook_endpoints SET status = 'disabled', disabled_reason = 'x' WHERE id = $1", disabled
    )
    for _ in range(5):
        assert (await client.post(PATH, json={"url": "https://10.0.0.1/"})).status_code == 422
        for endpoint in ("implicit", disabled):
            assert (await client.post(f"{PATH}/{endpoint}/test")).status_code == 409
    made = [await make(client), await make(client), await read(client, disabled)]
    assert (await client.patch(f"{PATH}/{disabled}", json={"status": "enabled"})).status_code == 200
    assert [(await client.post(f"{PATH}/{each['id']}/test")).status_code for each in made] == [202] * 3


async def test_every_tenant_has_rates_of_its_own(database: str, rows: asyncpg.Connection) -> None:
    """Creations and tests are counted apart; an operator's requests count for its own tenant."""
    async with (
        open_api(database, rows, **RATES) as api,
        api.client("shop") as shop,
        api.client("shop", Scope.OPERATOR) as its_operator,
        api.client("stranger") as stranger,
    ):
        for client, audience in ((shop, "client"), (its_operator, "operator"), (shop, "client")):
            made = await make(client, audience=audience)
        for client, audience in ((shop, "client"), (its_operator, "operator")):
            refused = await client.post(PATH, json={"url": URL, "audience": audience})
            assert refusal(refused) == (429, "rate_limited", None)
        assert (await shop.post(f"{PATH}/{made['id']}/test")).status_code == 202
        await make(stranger)
