"""Deliveries over HTTPS by a service that runs as a process, and what the log says of their attempts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import trustme

from tests.integration.webhooks.dispatchers import MASTER_KEY
from tests.support.certificates import serving
from tests.support.fixtures import ServiceFactory
from tests.support.keys import insert_key
from tests.support.waiting import eventually
from tests.support.webhook_receivers import healthy, receiving

HOST = "localhost"
SETUP = ("dns_ms", "connect_ms", "tls_ms")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def http(
    database: str, rows: asyncpg.Connection, start_service: ServiceFactory, authority: trustme.CA, tmp_path: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of a service that trusts the authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    settings = {
        "DARKROOM_DATABASE_URL": database,
        "DARKROOM_WEBHOOKS_MASTER_KEYS": MASTER_KEY,
        "DARKROOM_WEBHOOK_ALLOWED_HOSTS": HOST,
        "SSL_CERT_FILE": str(tmp_path / "authority.pem"),
    }
    service = await start_service("webhooks", settings)
    headers = {"Authorization": f"Bearer {(await insert_key(rows)).reveal()}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as client:
        yield client


async def attempt_at(http: httpx2.AsyncClient, endpoint: str) -> dict[str, Any]:
    """Send a test event, and return its first attempt once that has ended."""
    accepted = await http.post(f"/v1/webhook-endpoints/{endpoint}/test")
    assert accepted.status_code == 202, accepted.text
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        shown = (await http.get(f"/v1/webhook-deliveries/{accepted.json()['delivery_id']}")).json()
        found.update(*shown["attempts"][:1])
        return found.get("ended_at") is not None

    await eventually(has_ended, what="the attempt has ended")
    return found


async def create(http: httpx2.AsyncClient, port: int) -> str:
    """Create an endpoint at a port of this machine, and return its id."""
    created = await http.post("/v1/webhook-endpoints", json={"url": f"https://{HOST}:{port}/hook"})
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


async def test_an_attempt_has_the_time_of_each_of_its_steps(http: httpx2.AsyncClient, authority: trustme.CA) -> None:
    """Those of a connection that is used again were not repeated."""
    async with receiving(healthy, secure=serving(authority.issue_cert(HOST))) as receiver:
        endpoint = await create(http, receiver.port)
        first, second = [await attempt_at(http, endpoint) for _ in range(2)]
        assert receiver.accepted == 1
    for attempt in (first, second):
        assert (attempt["number"], attempt["outcome"], attempt["status"], attempt["error"]) == (
            1,
            "succeeded",
            200,
            None,
        )
        assert attempt["started_at"] <= attempt["ended_at"]
    steps = [first[step] for step in (*SETUP, "first_byte_ms")]
    assert min(steps) > 0
    assert sum(steps) <= first["total_ms"]
    assert [second[step] for step in SETUP] == [None] * 3
    assert 0 < second["first_byte_ms"] <= second["total_ms"]


async def test_an_attempt_that_trusts_no_certificate_says_so(http: httpx2.AsyncClient) -> None:
    """In words that name the host; it came as far as the handshake."""
    async with receiving(healthy, secure=serving(trustme.CA().issue_cert(HOST))) as receiver:
        attempt = await attempt_at(http, await create(http, receiver.port))
    assert (attempt["outcome"], attempt["status"], attempt["first_byte_ms"]) == ("failed", None, None)
    assert HOST in attempt["error"]
    assert "certificate" in attempt["error"]
    assert min(attempt["dns_ms"], attempt["connect_ms"]) > 0
