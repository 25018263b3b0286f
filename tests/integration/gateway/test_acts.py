"""Canceling and retrying jobs."""

import asyncio
from uuid import UUID

import asyncpg
import httpx2
import pytest

from tests.integration.gateway.acts import START, SUCCEED, cancel
from tests.integration.gateway.clients import counts, submit

BODY = {
    "input": {"prompt": "a lighthouse", "seed": 7},
    "ttl_seconds": 60,
    "metadata": {"order": "17"},
    "webhook_url": "https://example.com/hook",
    "webhook_events": ["job.canceled"],
}


async def test_a_queued_job_is_canceled_at_once(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Its webhook delivery is recorded; a repeated cancel changes nothing."""
    job = await submit(client, BODY)
    expected = {"id": job["id"], "status": "canceled", "cancel_requested_at": None}
    assert await cancel(client, job) == expected
    assert await cancel(client, job) == expected
    assert await rows.fetchval("SELECT version FROM jobs") == 2
    assert await rows.fetchval("SELECT array_agg(event) FROM webhook_deliveries") == ["job.canceled"]


async def test_the_holder_of_a_running_job_is_told(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The request is stored on the row and sent as a notification; the time of the first request stays."""
    job = await submit(client, BODY)
    await rows.execute(START)
    told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    holder = await rows.fetchval("SELECT cancel_channel(worker) FROM jobs")
    another = await rows.fetchval("SELECT cancel_channel('another')")
    for channel in (holder, another):
        await rows.add_listener(channel, lambda *event: told.put_nowait(event[-2:]))
    first = await cancel(client, job)
    assert first["status"] == "running"
    assert first["cancel_requested_at"] is not None
    assert await asyncio.wait_for(told.get(), 5) == (holder, job["id"])
    assert await cancel(client, job) == first
    assert await asyncio.wait_for(told.get(), 5) == (holder, job["id"])
    assert told.empty()
    assert await rows.fetchval("SELECT status FROM jobs") == "running"


async def test_a_finished_job_stays_as_it_is(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """A late cancel is not an error."""
    job = await submit(client)
    await rows.execute(START)
    await rows.execute(SUCCEED)
    assert (await cancel(client, job))["status"] == "succeeded"


async def test_concurrent_cancels_agree(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """One of them cancels the job, and all get the same response."""
    job = await submit(client, BODY)
    replies = await asyncio.gather(*(cancel(client, job) for _ in range(8)))
    assert {reply["status"] for reply in replies} == {"canceled"}
    assert await rows.fetchval("SELECT count(*) FROM webhook_deliveries") == 1


async def test_a_retry_is_a_new_job_with_the_same_input(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Input, seed, metadata and webhook are copied, and `retried_from` names the first job."""
    job = await submit(client, BODY)
    await cancel(client, job)
    answer = await client.post(job["urls"]["retry"])
    assert answer.status_code == 202
    again = answer.json()
    assert answer.headers["location"] == again["urls"]["self"]
    assert (again["retried_from"], again["status"]) == (job["id"], "queued")
    assert (again["input"], again["model"], again["metadata"]) == (job["input"], job["model"], job["metadata"])
    old, new = await rows.fetch("SELECT webhook_url, webhook_events, ttl FROM jobs ORDER BY created_at")
    assert tuple(old) == tuple(new)
    assert await counts(rows) == (2, 2, 0)


async def test_a_retry_under_a_key_happens_once(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """It is replayed like any submission, and its key cannot be used to retry another job."""
    one, two = await submit(client, BODY), await submit(client, BODY)
    for job in (one, two):
        await cancel(client, job)
    headers = {"Idempotency-Key": "again"}
    answers = [await client.post(job["urls"]["retry"], headers=headers) for job in (one, one, two)]
    assert [answer.status_code for answer in answers] == [202, 202, 422]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "change",
    [
        "model = 'gone'",
        "status = 'queued', completed_at = NULL, generation = 2, dead_lettered = false",
        "deleted_at = now(), input = '{}'",
    ],
)
async def test_a_retry_that_was_accepted_is_replayed_whatever_became_of_the_first_job(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, change: str
) -> None:
    """Its model left the catalogue, an operator replays it, or its tenant deleted it: the new job exists."""
    job = await submit(client, BODY)
    await rows.execute("SELECT finish_job($1, 1, NULL, 'failed', $2)", UUID(job["id"]), '{"code": "x", "message": "y"}')
    headers = {"Idempotency-Key": "again"}
    first = await client.post(job["urls"]["retry"], headers=headers)
    await rows.execute(f"UPDATE jobs SET {change} WHERE id = $1", UUID(job["id"]))
    again = await client.post(job["urls"]["retry"], headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert (await client.post(job["urls"]["retry"], headers={"Idempotency-Key": "new"})).status_code >= 400


@pytest.mark.parametrize("change", [None, START])
async def test_an_unfinished_job_can_not_be_retried(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, change: str | None
) -> None:
    """The 409 has the job's status."""
    job = await submit(client)
    if change:
        await rows.execute(change)
    answer = await client.post(job["urls"]["retry"])
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_finished")
    assert await counts(rows) == (1, 1, 0)


async def test_a_job_of_a_model_that_is_gone_can_not_be_retried(
    client: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """The current catalogue decides."""
    job = await submit(client)
    await cancel(client, job)
    await rows.execute("UPDATE jobs SET model = 'gone'")
    answer = await client.post(job["urls"]["retry"])
    assert (answer.status_code, answer.json()["field"]) == (422, "model")


async def test_a_job_beyond_todays_bounds_can_not_be_retried(
    client: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """Bounds may have become narrower since it was accepted."""
    job = await submit(client)
    await cancel(client, job)
    await rows.execute("""UPDATE jobs SET input = jsonb_set(input, '{width}', '4096')""")
    answer = await client.post(job["urls"]["retry"])
    assert (answer.status_code, answer.json()["field"]) == (422, "input.width")


async def test_a_job_whose_webhook_leads_elsewhere_today_can_not_be_retried(
    client: httpx2.AsyncClient, rows: asyncpg.Connection
) -> None:
    """The operator may have allowed its host when it was accepted."""
    job = await submit(client, BODY)
    await cancel(client, job)
    await rows.execute("UPDATE jobs SET webhook_url = 'http://127.0.0.1:9000/hook'")
    answer = await client.post(job["urls"]["retry"])
    assert (answer.status_code, answer.json()["field"]) == (422, "webhook_url")
    assert await counts(rows) == (1, 1, 0)


@pytest.mark.parametrize("act", ["cancel", "retry"])
@pytest.mark.parametrize("job_id", [str(UUID(int=7)), "no-uuid"])
async def test_an_unknown_job_is_not_found(client: httpx2.AsyncClient, act: str, job_id: str) -> None:
    """An unknown id and a text that is not an id get the same response."""
    answer = await client.post(f"/v1/jobs/{job_id}/{act}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
