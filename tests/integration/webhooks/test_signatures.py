"""What the API shows of an endpoint verifies what its receiver gets, through rotations of secrets and master keys.

The verifiers are not this project's: the library of Standard Webhooks for `v1`, and for `v1a` Ed25519 itself, over the
content that the specification defines.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from tests.integration.webhooks.dispatchers import open_dispatch
from tests.integration.webhooks.http_api import NEW_KEY, OLD_KEY, open_api
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Received, Receiver
from webhooks.secrets import MasterKeys

PATH = "/v1/webhook-endpoints"
OVERLAP_OVER = "UPDATE webhook_endpoints SET previous_until = now() - interval '1 second' WHERE rotation = 1"


class Service:
    """The API and a dispatcher with the same master keys."""

    def __init__(self, http: httpx2.AsyncClient, database: str, master_keys: tuple[str, ...]) -> None:
        self.http = http
        self._database = database
        self._keys = MasterKeys(master_keys)

    async def send(self, receiver: Receiver) -> Received:
        """Let everything that is due be sent, and return the latest request."""
        async with open_dispatch(self._database, keys=self._keys) as dispatch:
            await dispatch.round()
        return receiver.requests[-1]

    async def post(self, path: str, body: object = None) -> dict[str, Any]:
        """Return the response of a request that succeeds."""
        response = await self.http.post(f"{PATH}{path}", json=body)
        assert response.is_success, response.text
        content: dict[str, Any] = response.json()
        return content


@asynccontextmanager
async def running(database: str, rows: asyncpg.Connection, *master_keys: str) -> AsyncIterator[Service]:
    """Yield the service, with a client of one tenant."""
    async with open_api(database, rows, *master_keys) as api, api.client("shop") as http:
        yield Service(http, database, master_keys)


def verifies(endpoint: dict[str, Any], request: Received) -> tuple[bool, bool]:
    """Return whether the endpoint's secret and its public key each verify the request."""
    return _verifies_v1(endpoint["secret"], request), _verifies_v1a(endpoint["public_key"], request)


def _verifies_v1(secret: str, request: Received) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


def _verifies_v1a(public_key: str, request: Received) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    signatures = [entry.split(",") for entry in request.headers["webhook-signature"].split()]
    return any(_signed(key, value, content) for version, value in signatures if version == "v1a")


def _signed(key: Ed25519PublicKey, value: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(value), content)
    except InvalidSignature:
        return False
    return True


async def test_secrets_and_key_pairs_overlap(database: str, rows: asyncpg.Connection, receiver: Receiver) -> None:
    """After a rotation receivers may hold either, for 24 hours; after that only the new one verifies."""
    async with running(database, rows, OLD_KEY) as service:
        first = await service.post("", {"url": receiver.url, "ed25519": True})
        await service.post(f"/{first['id']}/test")
        assert verifies(first, await service.send(receiver)) == (True, True)
        second = await service.post(f"/{first['id']}/rotate-secret")
        await service.post(f"/{first['id']}/test")
        both = await service.send(receiver)
        assert [verifies(each, both) for each in (first, second)] == [(True, True), (True, True)]
        assert len(both.headers["webhook-signature"].split()) == 4
        await rows.execute(OVERLAP_OVER)
        await service.post(f"/{first['id']}/test")
        latest = await service.send(receiver)
        assert [verifies(each, latest) for each in (first, second)] == [(False, False), (True, True)]
    assert len(receiver.requests) == 3


async def test_a_retry_is_signed_anew(database: str, rows: asyncpg.Connection, receiver: Receiver) -> None:
    """A delivery of before the rotation carries both signatures at its next attempt, and the same body."""
    async with running(database, rows, OLD_KEY) as service:
        first = await service.post("", {"url": receiver.url, "ed25519": True})
        event = await service.post(f"/{first['id']}/test")
        before = await service.send(receiver)
        second = await service.post(f"/{first['id']}/rotate-secret")
        assert (await service.http.post(f"/v1/webhook-deliveries/{event['delivery_id']}/redeliver")).status_code == 202
        again = await service.send(receiver)
        assert (again.delivery_id, again.body) == (before.delivery_id, before.body)
        assert [verifies(each, again) for each in (first, second)] == [(True, True), (True, True)]
        assert verifies(second, before) == (False, False)


async def test_the_master_key_rotates_beneath(database: str, rows: asyncpg.Connection, receiver: Receiver) -> None:
    """The secret stays until its own rotation; then the old and the new master key sign for 24 hours."""
    async with running(database, rows, OLD_KEY) as service:
        first = await service.post("", {"url": receiver.url, "ed25519": True, "headers": {"X-Shop": "7"}})
    async with running(database, rows, NEW_KEY, OLD_KEY) as service:
        await service.post(f"/{first['id']}/test")
        request = await service.send(receiver)
        assert (verifies(first, request), request.headers["x-shop"]) == ((True, True), "7")
        second = await service.post(f"/{first['id']}/rotate-secret")
        await service.post(f"/{first['id']}/test")
        request = await service.send(receiver)
        assert [verifies(each, request) for each in (first, second)] == [(True, True), (True, True)]


async def test_without_a_key_pair_there_is_one_signature(
    database: str, rows: asyncpg.Connection, receiver: Receiver
) -> None:
    """Ed25519 is signed on request; changes of an endpoint hold from the next attempt on."""
    async with running(database, rows, OLD_KEY) as service:
        made = await service.post("", {"url": receiver.url})
        await service.post(f"/{made['id']}/test")
        request = await service.send(receiver)
        assert [entry.partition(",")[0] for entry in request.headers["webhook-signature"].split()] == ["v1"]
        change = {
            "ed25519": True,
            "headers": {"Authorization": "Bearer t", "Cookie": "a=b"},
            "url": f"{receiver.url}/2",
        }
        assert (await service.http.patch(f"{PATH}/{made['id']}", json=change)).status_code == 200
        await service.post(f"/{made['id']}/test")
        request = await service.send(receiver)
        assert (request.path, request.headers["authorization"], request.headers["cookie"]) == ("/2", "Bearer t", "a=b")
        changed = (await service.http.get(f"{PATH}/{made['id']}")).json()
        assert (changed["secret"], verifies(changed, request)) == (made["secret"], (True, True))


async def test_jobs_urls_share_the_implicit_secret(database: str, rows: asyncpg.Connection, receiver: Receiver) -> None:
    """What `implicit` shows verifies the webhooks of the tenant's jobs, and not those of another tenant's."""
    shop, other = await Shop.open(rows), await Shop.open(rows)
    async with open_api(database, rows, OLD_KEY) as api:
        name = await rows.fetchval("SELECT name FROM tenants WHERE id = $1", shop.tenant)
        async with api.client(name) as http:
            service = Service(http, database, (OLD_KEY,))
            assert (await http.patch(f"{PATH}/implicit", json={"ed25519": True})).status_code == 200
            implicit = (await http.get(f"{PATH}/implicit")).json()
            await shop.end(receiver.url)
            assert verifies(implicit, await service.send(receiver)) == (True, True)
            await other.end(receiver.url)
            assert verifies(implicit, await service.send(receiver)) == (False, False)


@pytest.mark.parametrize("lost", ["secret", "headers", "both"])
async def test_deliveries_wait_for_a_missing_master_key(
    database: str, rows: asyncpg.Connection, receiver: Receiver, lost: str
) -> None:
    """They are neither sent nor counted as failures, and are sent when the key is there again."""
    async with running(database, rows, OLD_KEY) as service:
        made = await service.post("", {"url": receiver.url, "ed25519": True, "headers": {"X-Shop": "7"}})
        await service.post(f"/{made['id']}/test")
    kept = {"secret": "headers_key = NULL, headers = NULL, header_names = '{}'", "headers": "master_key = 'new'"}
    if lost in kept:
        await rows.execute(f"UPDATE webhook_endpoints SET {kept[lost]} WHERE id = $1", made["id"])
    async with open_dispatch(database, keys=MasterKeys([NEW_KEY])) as dispatch:
        await dispatch.round()
    assert receiver.requests == []
    assert await rows.fetchval("SELECT count(*) FROM webhook_attempts") == 0
    async with open_dispatch(database, keys=MasterKeys([NEW_KEY, OLD_KEY])) as dispatch:
        await dispatch.round()
    assert len(receiver.requests) == 1
