"""POST /v1/webhook-endpoints/{id}/rotate-secret."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from tests.integration.webhooks.http_api import NEW_KEY, OLD_KEY, open_api
from tests.integration.webhooks.registry.made import PATH, make, read
from tests.support.declared import Api, refusal
from webhooks.secrets import MasterKeys

KEYS = MasterKeys([OLD_KEY, NEW_KEY])
OVERLAP_OVER = "UPDATE webhook_endpoints SET previous_until = now() - interval '1 second' WHERE id = $1"


async def rotate(client: httpx2.AsyncClient, reference: str, **query: Any) -> dict[str, Any]:
    """Rotate a secret and return the endpoint."""
    response = await client.post(f"{PATH}/{reference}/rotate-secret", params=query)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    rotated: dict[str, Any] = response.json()
    return rotated


async def keys_of(rows: asyncpg.Connection, endpoint_id: str) -> tuple[int, str | None, str | None]:
    """Return rotation and master keys of an endpoint."""
    row = await rows.fetchrow(
        "SELECT rotation, master_key, previous_master_key FROM webhook_endpoints WHERE id = $1", endpoint_id
    )
    return tuple(row)


async def test_a_rotation_replaces_secret_and_key_pair(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The ones before stay valid for 24 hours."""
    made = await make(client, ed25519=True)
    rotated = await rotate(client, made["id"])
    assert rotated["secret"] == KEYS.secret("old", UUID(made["id"]), 1) != made["secret"]
    assert rotated["public_key"] == KEYS.public_key("old", UUID(made["id"]), 1) != made["public_key"]
    until = datetime.fromisoformat(rotated["previous_secret_until"])
    assert timedelta(hours=23, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=24)
    assert await read(client, made["id"]) == rotated
    assert await keys_of(rows, made["id"]) == (1, "old", "old")


async def test_a_second_rotation_would_end_the_secret_in_use(
    client: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """So it is refused until the first one is over, or unless that is asked for."""
    made = await make(client)
    rotated = await rotate(client, made["id"])
    refused = await client.post(f"{PATH}/{made['id']}/rotate-secret")
    assert refusal(refused) == (409, "rotation_under_way", None)
    assert await read(client, made["id"]) == rotated
    again = await rotate(client, made["id"], end_previous="true")
    assert len({made["secret"], rotated["secret"], again["secret"]}) == 3
    await rows.execute(OVERLAP_OVER, made["id"])
    assert (await read(client, made["id"]))["previous_secret_until"] is None
    await rotate(client, made["id"])
    assert (await keys_of(rows, made["id"]))[0] == 3


async def test_rotations_at_once_rotate_once(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """A double click does not end the secret that receivers have."""
    made = await make(client)
    path = f"{PATH}/{made['id']}/rotate-secret"
    responses = await asyncio.gather(*(client.post(path) for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409]
    assert await keys_of(rows, made["id"]) == (1, "old", "old")


@pytest.mark.parametrize("query", ["end_previous=perhaps", "force=true", "end_previous=true&end_previous=false"])
async def test_a_wrong_query_is_named(client: httpx2.AsyncClient, query: str) -> None:
    """And nothing is rotated."""
    made = await make(client)
    response = await client.post(f"{PATH}/{made['id']}/rotate-secret?{query}")
    assert refusal(response) == (422, "invalid_request", query.partition("=")[0])
    assert await read(client, made["id"]) == made


async def test_the_implicit_secret_rotates_too(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """One that was never used has no previous secret."""
    fresh = await rotate(client, "implicit")
    assert fresh["previous_secret_until"] is None
    assert await keys_of(rows, fresh["id"]) == (1, "old", None)
    assert (await rotate(client, "implicit"))["previous_secret_until"] is not None


async def test_a_rotation_moves_to_the_primary_master_key(
    api: Api, client: httpx2.AsyncClient, database: str, rows: asyncpg.Connection
) -> None:
    """The endpoint then names two, as long as its previous secret is valid."""
    made = await make(client)
    async with open_api(database, rows, NEW_KEY, OLD_KEY) as later, later.client("shop") as http:
        assert await read(http, made["id"]) == made
        rotated = await rotate(http, made["id"])
        assert rotated["secret"] == KEYS.secret("new", UUID(made["id"]), 1)
        assert (await make(http))["secret"].startswith("whsec_")
    assert await keys_of(rows, made["id"]) == (1, "new", "old")


async def test_a_rotation_replaces_a_secret_whose_master_key_is_lost(
    client: httpx2.AsyncClient, database: str, rows: asyncpg.Connection
) -> None:
    """That one can be neither shown nor signed with any more."""
    made = await make(client)
    async with open_api(database, rows, NEW_KEY) as later, later.client("shop") as http:
        response = await http.get(f"{PATH}/{made['id']}")
        assert refusal(response) == (503, "unavailable", None)
        assert "rotate the secret" in response.json()["detail"]
        assert (await http.get(PATH)).status_code == 200
        rotated = await rotate(http, made["id"])
        assert rotated["previous_secret_until"] is None
        assert await read(http, made["id"]) == rotated
    assert await keys_of(rows, made["id"]) == (1, "new", None)
