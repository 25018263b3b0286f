"""A delivery shows its job as it was, although the settle keeps no copy of it (docs/decisions/0042)."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from gateway.store import JobStore
from operations.replays.replay import replay
from operations.retention.pruning import ExpirePictures
from operations.retention.purge import PurgeJobs
from tests.integration.webhooks.dispatchers import Dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import Receiver, always
from tests.support.waiting import eventually
from webhooks.dispatch import store

Change = Callable[[Database, Shop, UUID], Coroutine[Any, Any, None]]
REDACT = "UPDATE jobs SET deleted_at = now(), input = '{}', metadata = '{}', webhook_url = NULL WHERE id = $1"
WAITING_FOR_LOCKS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def no_catalogue() -> Catalogue:
    raise AssertionError("only orphans need the catalogue")


async def replay_it(database: Database, shop: Shop, job_id: UUID) -> None:
    letter = await shop.value("SELECT id FROM dead_letters WHERE job_id = $1 AND kind = 'job'", job_id)
    await replay(database, letter, "test", no_catalogue)


async def delete_it(database: Database, shop: Shop, job_id: UUID) -> None:
    assert await JobStore(database).delete(job_id, shop.tenant) is None


async def expire_it(database: Database, shop: Shop, job_id: UUID) -> None:
    await ExpirePictures(database, timedelta(0)).run_once()
    assert await shop.value("SELECT outputs = '[]' FROM jobs WHERE id = $1", job_id)


async def remove_it(database: Database, shop: Shop, job_id: UUID) -> None:
    await shop.execute("DELETE FROM jobs WHERE id = $1", job_id)


@pytest.fixture
async def other(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for a second transaction."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.mark.parametrize("change", [replay_it, delete_it, remove_it])
async def test_a_change_before_the_claim_keeps_the_job_as_it_was(
    change: Change, dispatch: Dispatch, shop: Shop, receiver: Receiver
) -> None:
    """A replay, a deletion by the client, whatever removes the row: the event is still that of the failure."""
    job_id = await shop.fail(receiver.url)
    [delivery] = await shop.deliveries()
    assert (delivery["snapshot"], delivery["body"]) == (None, None)
    await change(dispatch.database, shop, job_id)
    await dispatch.round()
    [request] = receiver.requests
    data = request.event["data"]
    assert (data["id"], data["status"], data["version"]) == (str(job_id), "failed", delivery["job_version"])
    assert (data["input"]["prompt"], data["error"]["code"]) == ("a lighthouse", "pipeline_error")
    assert (await shop.deliveries())[0]["snapshot"] is None, "the body replaces it"


async def test_pictures_that_expire_were_there(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """The event lists the outputs of the success, in the version of the success."""
    job_id = await shop.succeed(receiver.url)
    await expire_it(dispatch.database, shop, job_id)
    await dispatch.round()
    data = receiver.requests[0].event["data"]
    assert (len(data["outputs"]), data["outputs_removed_at"], data["version"]) == (1, None, 3)


async def test_an_unsent_delivery_holds_its_job(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """Retention purges the job once the delivery ended, and the delivery with it."""
    job_id = await shop.fail(receiver.url)
    await shop.execute("UPDATE dead_letters SET status = 'discarded', resolved_at = now()")
    purge = PurgeJobs(dispatch.database, timedelta(0))
    while await purge.run_once():
        pass
    await dispatch.round()
    assert receiver.requests[0].event["data"]["id"] == str(job_id)
    while await purge.run_once():
        pass
    assert await shop.value("SELECT count(*) FROM jobs WHERE id = $1", job_id) == 0
    assert await shop.deliveries() == []


async def test_a_start_is_kept_at_once(dispatch: Dispatch, shop: Shop, receiver: Receiver) -> None:
    """A running job changes all the time, so its event has a copy from the beginning."""
    job_id, _ = await shop.start(receiver.url, "job.started")
    await shop.execute("UPDATE jobs SET step = 3, steps = 4 WHERE id = $1", job_id)
    await dispatch.round()
    [request] = receiver.requests
    data = request.event["data"]
    assert (request.event["type"], data["status"], data["version"]) == ("job.started", "running", 2)
    assert data["progress"]["step"] == 0


@pytest.mark.parametrize("change", [replay_it, delete_it])
async def test_a_change_during_the_claim_waits(
    change: Change,
    dispatch: Dispatch,
    shop: Shop,
    receiver: Receiver,
    other: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From when the delivery is locked the job stays as it is, until the body is committed."""
    job_id = await shop.fail(receiver.url)
    changing: list[asyncio.Task[Any]] = []
    read_jobs = store.read_jobs

    async def change_first(*arguments: Any) -> Any:
        changing.append(asyncio.create_task(change(dispatch.database, shop, job_id)))
        await eventually(partial(_something_waits, other), what="the change waits")
        return await read_jobs(*arguments)

    monkeypatch.setattr(store, "read_jobs", change_first)
    await dispatch.round()
    await changing[0]
    data = receiver.requests[0].event["data"]
    assert (data["status"], data["input"]["prompt"]) == ("failed", "a lighthouse")
    [delivery] = [row for row in await shop.deliveries() if row["job_id"] == job_id]
    assert delivery["snapshot"] is None
    assert await shop.value("SELECT version FROM jobs WHERE id = $1", job_id) >= delivery["job_version"]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
async def test_a_claim_during_a_change_passes_over(
    ends: str, dispatch: Dispatch, shop: Shop, receiver: Receiver, other: asyncpg.Connection
) -> None:
    """The delivery is locked by the change, whose end decides where its content is; it is the same."""
    job_id = await shop.fail(receiver.url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(REDACT, job_id)
    await dispatch.round()
    assert receiver.requests == []
    await getattr(transaction, ends)()
    assert ((await shop.deliveries())[0]["snapshot"] is None) == (ends == "rollback")
    await dispatch.round()
    assert receiver.requests[0].event["data"]["input"]["prompt"] == "a lighthouse"


async def test_changes_and_claims_at_the_same_moment(
    dispatch: Dispatch, shop: Shop, receiver: Receiver, database: str
) -> None:
    """However they interleave, every body shows the job before its change."""
    ids = [await shop.fail(receiver.url) for _ in range(60)]
    receiver.behave = always(200)

    async def change(some: list[UUID]) -> None:
        connection = await asyncpg.connect(database)
        for job_id in some:
            await asyncio.sleep(random.uniform(0, 0.01))
            await connection.execute(REDACT, job_id)
        await connection.close()

    async def claim() -> None:
        while await shop.count("pending"):
            await dispatch.dispatcher.run_once()
            await asyncio.sleep(0)

    await asyncio.gather(claim(), *(change(ids[offset::3]) for offset in range(3)))
    prompts = [request.event["data"]["input"]["prompt"] for request in receiver.requests]
    assert prompts == ["a lighthouse"] * len(ids)


async def _something_waits(connection: asyncpg.Connection) -> bool:
    return bool(await connection.fetchval(WAITING_FOR_LOCKS))
