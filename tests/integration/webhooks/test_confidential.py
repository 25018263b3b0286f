"""What is confidential about an endpoint stays so: in responses, the log of the process, its metrics, the database."""

from base64 import b64encode
from collections.abc import Iterator

import asyncpg
import httpx2

from darkroom_contracts.webhooks.signing import decode_key
from tests.integration.webhooks.http_api import OLD_KEY
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.receiver import Receiver, always
from tests.support.waiting import eventually

PATH = "/v1/webhook-endpoints"
VALUES = ("Bearer k7VFaVkQpDm", "x3NJq7rTzWc", "uA9dYt4LbHs")
"""Values of headers: those that are kept, and one that is refused."""


class Recorder:
    """A client of the service that keeps every response."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.responses: list[httpx2.Response] = []

    async def request(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """Send a request."""
        self.responses.append(await self._http.request(method, path, json=body))
        return self.responses[-1]

    def texts(self) -> Iterator[str]:
        """Yield the heads and bodies of all responses."""
        for response in self.responses:
            yield f"{response.headers}\n{response.text}"


async def test_values_of_headers_and_secrets_leave_no_trace(
    database: str, rows: asyncpg.Connection, start_service: ServiceFactory, receiver: Receiver
) -> None:
    """No response holds a header's value, whatever it is about; the log holds no secret and no API key either."""
    receiver.behave = always(500, b"no")
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": OLD_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "DARKROOM_LOG_LEVEL": "debug",
    }
    service = await start_service("webhooks", settings)
    key = (await insert_key(rows, "shop")).reveal()
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as http:
        recorder = Recorder(http)
        secrets = await _live(recorder, receiver)
        metrics = (await http.get("/metrics")).text
    for value in VALUES:
        assert [text for text in recorder.texts() if value in text] == []
        assert value not in service.output()
    for secret in (*secrets, key.rpartition("_")[2], OLD_KEY.partition(":")[2]):
        assert secret not in service.output() + metrics
    assert receiver.requests[0].headers["authorization"] == VALUES[0]


async def test_the_database_holds_neither(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Without a master key, a copy of it neither signs nor reveals a header."""
    body = {"url": "https://example.com/hook", "ed25519": True, "headers": {"Authorization": VALUES[0]}}
    made = (await client.post(PATH, json=body)).json()
    rotated = (await client.post(f"{PATH}/{made['id']}/rotate-secret")).json()
    stored = await _dump(rows)
    assert made["id"] in stored
    keys = [decode_key(shown["secret"]) for shown in (made, rotated)]
    for secret in (*keys, *map(b64encode, keys), VALUES[0].encode(), VALUES[0].partition(" ")[2].encode()):
        assert secret.hex() not in stored
        assert secret.decode("latin-1") not in stored


async def _dump(rows: asyncpg.Connection) -> str:
    """Return all rows of all tables as text, with bytes in hexadecimal."""
    names = await rows.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = [await rows.fetch(f'SELECT row::text FROM "{each["tablename"]}" AS row') for each in names]
    return "\n".join(row[0] for table in tables for row in table)


async def _live(recorder: Recorder, receiver: Receiver) -> list[str]:
    """Do everything that involves an endpoint with headers. Return its secrets."""
    body = {"url": receiver.url, "headers": {"Authorization": VALUES[0]}}
    made = (await recorder.request("POST", PATH, body)).json()
    one = f"{PATH}/{made['id']}"
    event = (await recorder.request("POST", f"{one}/test")).json()
    await receiver.received(1)
    delivery = f"/v1/webhook-deliveries/{event['delivery_id']}"

    async def attempted() -> bool:
        found = (await recorder.request("GET", delivery)).json()
        return bool(found["failures"])

    await eventually(attempted, what="the attempt is logged")
    for wrong in ({"x-a": f"{VALUES[2]}\n"}, {"host": VALUES[2]}, {"x-a": VALUES[2], "X-A": VALUES[2]}):
        for method, path in (("POST", PATH), ("PATCH", one)):
            refused = await recorder.request(method, path, {"url": receiver.url, "headers": wrong})
            assert refused.status_code == 422
    await recorder.request("PATCH", one, {"headers": {"x-b": VALUES[1]}})
    rotated = (await recorder.request("POST", f"{one}/rotate-secret")).json()
    for path in (PATH, one, f"{one}/stats", "/v1/webhook-deliveries"):
        assert (await recorder.request("GET", path)).status_code == 200
    await recorder.request("DELETE", one)
    return [made["secret"], rotated["secret"]]
