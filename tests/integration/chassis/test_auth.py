"""Who is calling: keys in a real database, remembered for a moment."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from cachetools import TTLCache
from starlette.requests import Request

from chassis.auth import CACHE_SECONDS, Authenticator, Caller
from chassis.keys import ApiKey
from chassis.postgres import Database
from chassis.problems import ProblemError
from chassis.settings import DatabaseSettings
from darkroom_contracts.api import Scope
from tests.support.clocks import Clock
from tests.support.keys import insert_key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("chassis.auth.TTLCache", lambda size, ttl: TTLCache(size, ttl, timer=clock))
    return clock


@pytest.fixture
async def authenticator(database: str, clock: Clock) -> AsyncIterator[Authenticator]:
    async with Database(DatabaseSettings(database_url=database), "test") as pool:
        yield Authenticator(pool)


def request(authorization: str | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


async def authenticate(authenticator: Authenticator, key: ApiKey, scope: Scope = Scope.CLIENT) -> Caller:
    return await authenticator.authenticate(request(f"Bearer {key.reveal()}"), scope)


async def assert_refused(authenticator: Authenticator, key: ApiKey, status: int, scope: Scope = Scope.CLIENT) -> None:
    with pytest.raises(ProblemError) as caught:
        await authenticate(authenticator, key, scope)
    assert caught.value.problem.status == status


async def test_a_key_tells_its_tenant_and_scope(authenticator: Authenticator, rows: asyncpg.Connection) -> None:
    """And the scheme's name may be written in any case."""
    key = await insert_key(rows)
    caller = await authenticator.authenticate(request(f"bearer {key.reveal()}"), Scope.CLIENT)
    assert caller == Caller(await rows.fetchval("SELECT id FROM tenants"), key.id, Scope.CLIENT)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer nonsense", "Basic ZGs6ZGs=", "Bearer \xff"])
async def test_without_a_key_the_answer_says_how(authenticator: Authenticator, authorization: str | None) -> None:
    """401 with WWW-Authenticate."""
    with pytest.raises(ProblemError) as caught:
        await authenticator.authenticate(request(authorization), Scope.CLIENT)
    assert caught.value.problem.status == 401
    assert caught.value.headers is not None
    assert "Bearer" in caught.value.headers["WWW-Authenticate"]


async def test_an_unknown_key_is_refused(authenticator: Authenticator) -> None:
    """Its form and checksum alone open nothing."""
    await assert_refused(authenticator, ApiKey.generate(Scope.CLIENT), 401)


async def test_keys_that_come_together_share_look_ups(
    authenticator: Authenticator, rows: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many keys are made up, they keep one connection busy and hold no valid key up for long."""
    valid = await insert_key(rows)
    queries: list[int] = []
    look_up = authenticator._look_ups._look_up

    async def counted(key_ids: list[str]) -> Any:
        queries.append(len(key_ids))
        return await look_up(key_ids)

    monkeypatch.setattr(authenticator._look_ups, "_look_up", counted)
    made_up = [assert_refused(authenticator, ApiKey.generate(Scope.CLIENT), 401) for _ in range(500)]
    await asyncio.gather(*made_up, authenticate(authenticator, valid))
    assert sum(queries) == 501
    assert len(queries) <= 6


async def test_a_wrong_secret_is_refused(authenticator: Authenticator, rows: asyncpg.Connection) -> None:
    """Also when the right one has just been seen."""
    key = await insert_key(rows)
    await authenticate(authenticator, key)
    await assert_refused(authenticator, ApiKey(key.scope, key.id, ApiKey.generate(Scope.CLIENT).secret), 401)


async def test_a_key_can_t_name_a_scope_it_does_not_have(
    authenticator: Authenticator, rows: asyncpg.Connection
) -> None:
    """What is stored counts, not what is written on the key."""
    key = await insert_key(rows)
    await assert_refused(authenticator, ApiKey(Scope.OPERATOR, key.id, key.secret), 401)


async def test_an_operator_may_what_a_client_may_but_not_the_reverse(
    authenticator: Authenticator, rows: asyncpg.Connection
) -> None:
    """403 for a valid key that does not reach."""
    client, operator = await insert_key(rows), await insert_key(rows, scope=Scope.OPERATOR)
    assert (await authenticate(authenticator, operator, Scope.CLIENT)).scope == Scope.OPERATOR
    await assert_refused(authenticator, client, 403, Scope.OPERATOR)


@pytest.mark.parametrize(("scope", "refused"), [(Scope.CLIENT, 403), (Scope.OPERATOR, 403), (Scope.OBSERVER, None)])
async def test_an_observer_looks_and_nothing_else(
    authenticator: Authenticator, rows: asyncpg.Connection, scope: Scope, refused: int | None
) -> None:
    """Its key reaches neither its tenant's jobs nor what operators do; an operator's reaches what it reaches."""
    observer = await insert_key(rows, scope=Scope.OBSERVER)
    if refused:
        await assert_refused(authenticator, observer, refused, scope)
    else:
        assert (await authenticate(authenticator, observer, scope)).scope == Scope.OBSERVER
        assert await authenticate(authenticator, await insert_key(rows, scope=Scope.OPERATOR), scope)
        await assert_refused(authenticator, await insert_key(rows), 403, scope)


async def test_only_the_use_of_a_genuine_key_is_noted(database: str, rows: asyncpg.Connection) -> None:
    """Also of one that lacks the scope or has expired; not that of a wrong secret or an unknown key."""
    used: list[str] = []
    valid, narrow = await insert_key(rows, scope=Scope.OPERATOR), await insert_key(rows)
    expired = await insert_key(rows, expires_at=datetime.now(UTC))
    async with Database(DatabaseSettings(database_url=database), "test") as pool:
        authenticator = Authenticator(pool, used.append)
        await authenticate(authenticator, valid, Scope.OPERATOR)
        await assert_refused(authenticator, narrow, 403, Scope.OPERATOR)
        for key in (expired, ApiKey.generate(Scope.CLIENT), ApiKey(expired.scope, expired.id, narrow.secret)):
            await assert_refused(authenticator, key, 401)
    assert used == [valid.id, narrow.id, expired.id]


async def test_a_revoked_key_stops_working_within_the_cache_s_time(
    authenticator: Authenticator, rows: asyncpg.Connection, clock: Clock
) -> None:
    """Until then it may still work: that spares a look-up for every request."""
    key = await insert_key(rows)
    await authenticate(authenticator, key)
    await rows.execute("UPDATE api_keys SET revoked_at = now()")
    clock.seconds = CACHE_SECONDS - 0.1
    await authenticate(authenticator, key)
    clock.seconds = CACHE_SECONDS + 0.1
    await assert_refused(authenticator, key, 401)


async def test_a_key_made_after_it_was_refused_works_within_the_cache_s_time(
    authenticator: Authenticator, rows: asyncpg.Connection, clock: Clock
) -> None:
    """Unknown keys are remembered as long as known ones."""
    key = ApiKey.generate(Scope.CLIENT)
    await assert_refused(authenticator, key, 401)
    await insert_key(rows, key=key)
    clock.seconds = CACHE_SECONDS + 0.1
    await authenticate(authenticator, key)


async def test_an_expired_key_is_refused_at_once(authenticator: Authenticator, rows: asyncpg.Connection) -> None:
    """Its time is checked at each request, remembered or not."""
    now = datetime.now(UTC)
    valid = await insert_key(rows, expires_at=now + timedelta(hours=1))
    expired = await insert_key(rows, expires_at=now - timedelta(seconds=1))
    await authenticate(authenticator, valid)
    await assert_refused(authenticator, expired, 401)


async def test_who_holds_an_expired_key_learns_when_it_expired(
    authenticator: Authenticator, rows: asyncpg.Connection
) -> None:
    """Nobody else does."""
    expired = await insert_key(rows, expires_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    forged = ApiKey(expired.scope, expired.id, ApiKey.generate(Scope.CLIENT).secret)
    for key, said in ((expired, "expired at 2026-01-02 03:04:05Z; an operator creates keys"), (forged, "no valid")):
        with pytest.raises(ProblemError) as caught:
            await authenticate(authenticator, key)
        assert said in str(caught.value.problem.detail)
