"""Access: API keys and the separation of tenants."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from chassis.keys import ApiKey
from darkroom_contracts.api import Scope
from tests.integration.gateway.clients import BODY, bearer, counts, submit
from tests.support.keys import make_key

NOW = datetime.now(UTC)


async def refused_with_401(client: httpx2.AsyncClient, authorization: dict[str, str]) -> bool:
    answer = await client.post("/v1/jobs", json=BODY, headers=authorization)
    return answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")


async def test_only_valid_keys_are_let_in(client: httpx2.AsyncClient, rows: asyncpg.Connection, database: str) -> None:
    """Unknown, mistyped, expired and revoked keys get the same response, and nothing is recorded."""
    good = await make_key(database)
    expired = await make_key(database, expires_at=NOW - timedelta(seconds=1))
    revoked = await make_key(database, revoked_at=NOW)
    unknown = ApiKey.generate(Scope.CLIENT).reveal()
    mistyped = good[:-1] + ("a" if good[-1] != "a" else "b")
    for key in ("", "nonsense", expired, revoked, unknown, mistyped):
        assert await refused_with_401(client, bearer(key)), key
    assert await refused_with_401(client, {"Authorization": f"Basic {good}"})
    assert await counts(rows) == (0, 0, 0)


async def test_a_key_can_not_be_raised_to_another_scope(client: httpx2.AsyncClient, database: str) -> None:
    """The scope in a key must be the one that it was created with."""
    key = ApiKey.parse(await make_key(database))
    assert key is not None
    raised = ApiKey(Scope.OPERATOR, key.id, key.secret).reveal()
    assert await refused_with_401(client, bearer(raised))


async def test_an_operator_may_submit(client: httpx2.AsyncClient, database: str) -> None:
    """An operator's key allows everything that a client's key does."""
    operator = await make_key(database, scope=Scope.OPERATOR)
    await submit(client, Authorization=f"Bearer {operator}")


@pytest.mark.parametrize("act", ["cancel", "retry"])
async def test_another_tenants_job_answers_as_an_unknown_one(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, database: str, act: str
) -> None:
    """The responses are equal byte for byte, and the job stays unchanged."""
    job = await submit(client)
    stranger = bearer(await make_key(database, "stranger"))
    foreign = await client.post(f"/v1/jobs/{job['id']}/{act}", headers=stranger)
    unknown = await client.post(f"/v1/jobs/{uuid4()}/{act}", headers=stranger)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content
    assert await rows.fetchval("SELECT status FROM jobs") == "queued"


async def test_tenants_may_choose_the_same_idempotency_key(client: httpx2.AsyncClient, database: str) -> None:
    """Each tenant gets its own job."""
    stranger = await make_key(database, "stranger")
    mine = await submit(client, Idempotency_Key="one")
    theirs = await submit(client, Idempotency_Key="one", Authorization=f"Bearer {stranger}")
    assert mine["id"] != theirs["id"]
