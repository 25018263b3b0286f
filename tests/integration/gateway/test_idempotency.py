"""Idempotency keys: one job for any number of repeated or concurrent requests."""

import asyncio

import asyncpg
import httpx2

from chassis.settings import load
from darkroom_contracts.models import Catalogue
from gateway.app import open_app
from gateway.settings import Settings
from tests.integration.gateway.clients import BODY, counts, submit
from tests.integration.gateway.conftest import Environment
from tests.support.declared import declared_client

OTHER = {"input": {"prompt": "another"}}


async def post(client: httpx2.AsyncClient, key: str, body: object = BODY) -> httpx2.Response:
    return await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key})


async def test_the_same_request_is_answered_again(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The first response is returned again, with the same seed and a header that says so."""
    first, again = await post(client, "one"), await post(client, "one")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await counts(rows) == (1, 1, 1)


async def test_the_answer_stays_as_it_was_at_acceptance(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Later changes of the job do not show."""
    first = await post(client, "one")
    await rows.execute(
        "UPDATE jobs SET status = 'running', attempt = 1, worker = 'ansel', started_at = now(),"
        " lease_token = gen_random_uuid(),"
        " lease_expires_at = now(), queued_at = now() + interval '1 hour', expires_at = now() + interval '9 hours'"
    )
    assert (await post(client, "one")).json() == first.json()


async def test_another_request_with_a_used_key_is_refused(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The response is a 422 with its own code; the first job stays."""
    await post(client, "one")
    answer = await post(client, "one", OTHER)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await counts(rows) == (1, 1, 1)


async def test_a_refused_request_uses_no_key(client: httpx2.AsyncClient) -> None:
    """Only an accepted job uses a key."""
    assert (await post(client, "one", {"input": {}})).status_code == 422
    answer = await post(client, "one")
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (202, None)


async def test_concurrent_twins_share_one_job(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """One is accepted, the others wait for its commit and replay it."""
    answers = await asyncio.gather(*(post(client, "one") for _ in range(40)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await counts(rows) == (1, 1, 1)


async def test_of_concurrent_twins_with_different_bodies_one_wins(
    client: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """The others are refused because the key is taken."""
    answers = await asyncio.gather(*(post(client, "one", {"input": {"prompt": f"{n}"}}) for n in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 19
    assert await counts(rows) == (1, 1, 1)


async def test_keys_crossed_between_two_gateways(
    settings: Settings, catalogue: Catalogue, key: str, rows: asyncpg.Connection
) -> None:
    """Two gateways with the same keys at the same time in opposite order create one job for each key."""
    keys = [f"k{number:03}" for number in range(60)]
    async with (
        open_app(settings) as one,
        open_app(settings) as two,
        declared_client(one.http, key) as left,
        declared_client(two.http, key) as right,
    ):
        for round_number in range(5):
            names = [f"{round_number}-{name}" for name in keys]
            answers = await asyncio.gather(
                *(
                    post(client, name)
                    for pair in zip(names, reversed(names), strict=True)
                    for client, name in zip((left, right), pair, strict=True)
                )
            )
            assert {answer.status_code for answer in answers} == {202}
            assert len({answer.json()["id"] for answer in answers}) == len(keys)
    assert await counts(rows) == (300, 300, 300)


async def test_narrower_bounds_still_replay(environment: Environment, catalogue: Catalogue, key: str) -> None:
    """A repeated request of an accepted job is not refused for what is forbidden since: its client waits for it."""
    body = {**BODY, "webhook_url": "https://hooks.example:8443/"}
    wide = load(Settings, {**environment, "DARKROOM_WEBHOOK_ALLOWED_PORTS": "443,8443"})
    async with open_app(wide) as gateway, declared_client(gateway.http, key) as client:
        first = await submit(client, body, Idempotency_Key="one")
    async with open_app(load(Settings, environment)) as gateway, declared_client(gateway.http, key) as client:
        again = await post(client, "one", body)
        assert (again.status_code, again.json()) == (202, first)
        assert again.headers["idempotency-replayed"] == "true"
        assert (await post(client, "one", {**body, "ttl_seconds": 7})).json()["code"] == "idempotency_key_reused"
        assert (await post(client, "two", body)).json()["field"] == "webhook_url"


async def test_a_full_queue_still_replays(environment: Environment, catalogue: Catalogue, key: str) -> None:
    """A repeated request of an accepted job is not refused with 429."""
    settings = load(Settings, {**environment, "DARKROOM_MAX_QUEUED_JOBS": "1"})
    async with open_app(settings) as gateway, declared_client(gateway.http, key) as client:
        first = await submit(client, Idempotency_Key="one")
        again = await post(client, "one")
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        assert (await post(client, "one", OTHER)).json()["code"] == "idempotency_key_reused"
        assert (await post(client, "two")).status_code == 429
