"""The gateway's connections: work of one kind never waits behind work of another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from chassis.settings import load
from darkroom_contracts.models import Catalogue
from gateway.app import open_app
from gateway.settings import Settings
from gateway.store import JobStore
from tests.integration.chassis.wire import wire_to
from tests.integration.gateway.clients import BODY, bearer, counts, submit
from tests.integration.gateway.conftest import Environment
from tests.support.declared import declared_client
from tests.support.keys import make_key
from tests.support.waiting import eventually

CANCELS = 3000
REST = 3
"""Connections for cancels and the like, of the eight that a gateway has by default."""


@pytest.fixture
async def locks(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection that holds locks until its transaction ends."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def cancel(client: httpx2.AsyncClient, job: dict[str, Any]) -> httpx2.Response:
    return await client.post(job["urls"]["cancel"])


async def waiting_for_locks(rows: asyncpg.Connection) -> int:
    waiting: int = await rows.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting


async def test_cancels_of_one_job_hold_nothing_else_up(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, locks: asyncpg.Connection
) -> None:
    """Thousands of them wait for a locked row: submissions, another job's cancel and readiness continue."""
    job, other = await submit(client), await submit(client)
    async with locks.transaction():
        await locks.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job["id"])
        cancels = [asyncio.create_task(cancel(client, job)) for _ in range(CANCELS)]
        await eventually(lambda: _waits(rows, 1), what="a cancel waits")
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(client.post("/v1/jobs", json=BODY) for _ in range(50)))
            answers += [await cancel(client, other), await client.get("/readyz")]
        assert {answer.status_code for answer in answers} == {202, 200}
        assert not any(task.done() for task in cancels)
        assert await waiting_for_locks(rows) == 1
    replies = await asyncio.gather(*cancels)
    assert {(reply.status_code, reply.json()["status"]) for reply in replies} == {(200, "canceled")}


async def test_cancels_of_many_jobs_are_refused_when_they_fill_their_connections(
    client: httpx2.AsyncClient,
    rows: asyncpg.Connection,
    locks: asyncpg.Connection,
    database: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are refused as busy; submissions are accepted, also with a key that must be looked up first."""
    monkeypatch.setattr("chassis.postgres.WAIT_TIMEOUT_SECONDS", 0.3)
    jobs = [await submit(client) for _ in range(20)]
    async with locks.transaction():
        await locks.execute("SELECT FROM jobs FOR UPDATE")
        cancels = [asyncio.create_task(cancel(client, job)) for job in jobs]
        await eventually(lambda: sum(task.done() for task in cancels) == len(jobs) - REST, what="the rest is refused")
        for refused in (task.result() for task in cancels if task.done()):
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["detail"] == "Too many requests at once; nothing was done. Try again."
        newcomer = bearer(await make_key(database))
        async with asyncio.timeout(3):
            answers = await asyncio.gather(*(client.post("/v1/jobs", json=BODY, headers=newcomer) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {202}
            assert (await client.get("/readyz")).status_code == 200
        assert await _sessions(rows) <= settings.database.database_connections
    assert sum(answer.status_code == 200 for answer in await asyncio.gather(*cancels)) == REST


async def test_refusals_of_a_full_queue_share_their_look_ups(
    environment: Environment,
    catalogue: Catalogue,
    key: str,
    rows: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each looks for a job that was accepted earlier under its key, and returns it."""
    asked: list[int] = []
    find_by_keys = JobStore.find_by_keys

    async def counting(store: JobStore, keys: Any) -> Any:
        asked.append(len(keys))
        return await find_by_keys(store, keys)

    monkeypatch.setattr(JobStore, "find_by_keys", counting)
    settings = load(Settings, {**environment, "DARKROOM_MAX_QUEUED_JOBS_PER_TENANT": "1"})
    async with open_app(settings) as gateway, declared_client(gateway.http, key) as client:
        accepted = await submit(client, Idempotency_Key="k0")
        keys = [{"Idempotency-Key": f"k{number}"} for number in range(250)]
        answers = await asyncio.gather(*(client.post("/v1/jobs", json=BODY, headers=key) for key in keys))
    assert [answer.status_code for answer in answers] == [202] + [429] * 249
    assert answers[0].json() == accepted
    assert len(asked) <= 4
    assert await counts(rows) == (1, 1, 1)


async def test_a_submission_that_was_never_sent_is_in_no_doubt(
    environment: Environment, catalogue: Catalogue, key: str, rows: asyncpg.Connection
) -> None:
    """The response says that nothing was done, and it counts as a refusal."""
    async with AsyncExitStack() as until_gone:
        wire = await until_gone.enter_async_context(wire_to(environment["DARKROOM_DATABASE_URL"]))
        settings = load(Settings, {**environment, "DARKROOM_DATABASE_URL": wire.url})
        async with open_app(settings) as gateway, declared_client(gateway.http, key) as client:
            await client.post(f"/v1/jobs/{uuid4()}/cancel")  # from now on the key is known
            refused = await _unavailable(client)
            await until_gone.aclose()
            answer = await client.post("/v1/jobs", json=BODY)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "nothing was done" in answer.json()["detail"]
            assert await _unavailable(client) == refused + 1
    assert await counts(rows) == (0, 0, 0)


async def test_a_cancel_whose_answer_is_lost_is_in_doubt(
    environment: Environment, catalogue: Catalogue, key: str, rows: asyncpg.Connection, locks: asyncpg.Connection
) -> None:
    """The response leaves the outcome open, Postgres commits, and a repetition is safe."""
    await rows.execute(HOLD_COMMITS)
    async with wire_to(environment["DARKROOM_DATABASE_URL"]) as wire:
        settings = load(Settings, {**environment, "DARKROOM_DATABASE_URL": wire.url})
        async with open_app(settings) as gateway, declared_client(gateway.http, key) as client:
            job = await submit(client)
            async with locks.transaction():
                await locks.execute("SELECT pg_advisory_xact_lock(47)")
                canceling = asyncio.create_task(cancel(client, job))
                await eventually(lambda: _waits(rows, 1), what="the cancel commits")
                wire.cut()
                answer = await canceling
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            detail = answer.json()["detail"]
            assert "may or may not have been recorded" in detail
            assert "Sending it again is safe" in detail
            await eventually(lambda: _canceled(rows), what="Postgres commits the cancel")
            again = await cancel(client, job)
            assert (again.status_code, again.json()["status"]) == (200, "canceled")


HOLD_COMMITS = """
    CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(47); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER hold_commits AFTER UPDATE ON jobs DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold_commit();
"""
"""A commit that changes a job waits for the owner of lock 47."""


async def _waits(rows: asyncpg.Connection, at_least: int) -> bool:
    return await waiting_for_locks(rows) >= at_least


async def _canceled(rows: asyncpg.Connection) -> bool:
    status: str = await rows.fetchval("SELECT status FROM jobs")
    return status == "canceled"


async def _sessions(rows: asyncpg.Connection) -> int:
    sessions: int = await rows.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'darkroom-%'"
    )
    return sessions


async def _unavailable(client: httpx2.AsyncClient) -> float:
    """Return the number of submissions that were answered 503, by this process's metric."""
    prefix = 'darkroom_gateway_jobs_total{outcome="unavailable"} '
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix))
