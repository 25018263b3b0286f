"""Deleting jobs: what is removed, what stays, and how the id is answered from then on."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
import pytest

from chassis.postgres import Database
from darkroom_contracts.models import Catalogue
from operations.replays.outcome import Redelivered, Replayed, ReplayRefusedError
from operations.replays.replay import replay
from tests.integration.gateway.acts import START, SUCCEED, cancel
from tests.integration.gateway.clients import bearer, submit
from tests.support.ids import aged_id
from tests.support.keys import make_key

BODY = {
    "input": {"prompt": "a lighthouse that nobody may see", "seed": 7},
    "user_id": "ada",
    "metadata": {"order": "17"},
    "webhook_url": "https://example.com/hook?token=secret",
    "webhook_events": ["job.failed", "job.canceled", "job.succeeded"],
}
ERROR = '{"code": "pipeline_error", "message": "It failed.", "retryable": false, "stage": "render"}'
DETAILS = """UPDATE attempts SET error = error || '{"last_lines": ["a lighthouse"], "cause": "a lighthouse"}'"""
CLAIM = """
    WITH claimed AS (
        UPDATE jobs SET status = 'running', attempt = 1, worker = 'ansel', started_at = now(),
            lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 minute'
        WHERE id = $1 RETURNING *)
    INSERT INTO attempts (lease_token, job_id, generation, attempt, worker)
    SELECT lease_token, id, generation, attempt, worker FROM claimed RETURNING lease_token
"""
FAIL = """
    SELECT finish_job($1, generation, $2, 'failed', $3, the_body => 'a lighthouse that nobody may see',
        the_headers => '{"darkroom-job-id": "it"}')
    FROM jobs WHERE id = $1
"""

GIVE_UP = """
    UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, finished_at = now()
    WHERE job_id = $1 RETURNING id
"""


@pytest.fixture
async def job(client: httpx2.AsyncClient) -> dict[str, Any]:
    """Return a canceled job."""
    made = await submit(client, BODY)
    await cancel(client, made)
    return made


async def dead_job(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> dict[str, Any]:
    """Return a dead job with its dead letter."""
    made = await submit(client, BODY)
    token = await rows.fetchval(CLAIM, UUID(made["id"]))
    await rows.execute("DELETE FROM outbox WHERE job_id = $1", UUID(made["id"]))
    assert await rows.fetchval(FAIL, UUID(made["id"]), token, ERROR)
    return made


async def delete(client: httpx2.AsyncClient, job: dict[str, Any]) -> int:
    return (await client.delete(job["urls"]["self"])).status_code


async def letter_of(rows: asyncpg.Connection, job: dict[str, Any]) -> Any:
    return await rows.fetchrow("SELECT * FROM dead_letters WHERE job_id = $1", UUID(job["id"]))


def no_catalogue() -> Catalogue:
    raise AssertionError("only an orphan's job is held to the catalogue")


# --- answers ---


async def test_a_finished_job_is_deleted_once(client: httpx2.AsyncClient, job: dict[str, Any]) -> None:
    """The first response is 204 without a body, all later ones are 410."""
    answer = await client.delete(job["urls"]["self"])
    assert (answer.status_code, answer.content) == (204, b"")
    again = await client.delete(job["urls"]["self"])
    assert (again.status_code, again.json()["code"]) == (410, "gone")
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("end", [SUCCEED, "dead"])
async def test_every_end_may_be_deleted(client: httpx2.AsyncClient, rows: asyncpg.Connection, end: str) -> None:
    """Succeeded jobs can be deleted, and dead ones with their letters."""
    if end == "dead":
        made = await dead_job(client, rows)
    else:
        made = await submit(client, BODY)
        await rows.execute(START)
        await rows.execute(SUCCEED)
    assert await delete(client, made) == 204


@pytest.mark.parametrize("change", [None, START])
async def test_an_unfinished_job_is_not_deleted(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, change: str | None
) -> None:
    """The 409 has the status and what to do; nothing is redacted."""
    made = await submit(client, BODY)
    if change:
        await rows.execute(change)
    answer = await client.delete(made["urls"]["self"])
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_finished")
    assert "cancel it" in answer.json()["detail"]
    assert await rows.fetchval("SELECT user_id FROM jobs WHERE deleted_at IS NULL") == "ada"


async def test_another_tenant_can_not_delete_it(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, database: str, job: dict[str, Any]
) -> None:
    """The response equals that for an unknown job byte for byte, before and after the deletion."""
    stranger = bearer(await make_key(database, "stranger"))
    for _ in range(2):
        foreign = await client.delete(job["urls"]["self"], headers=stranger)
        unknown = await client.delete(f"/v1/jobs/{uuid4()}", headers=stranger)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
        await delete(client, job)


async def test_a_purged_job_is_gone(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """An id that retention may have removed is answered 410 to every tenant; a later one is unknown."""
    await rows.execute("UPDATE instance SET purged_before = now() - interval '90 days'")
    for age, status in ((91, 410), (89, 404)):
        path = f"/v1/jobs/{aged_id(timedelta(days=age))}"
        answers = [await client.delete(path), await client.post(f"{path}/retry"), await client.post(f"{path}/cancel")]
        assert [answer.status_code for answer in answers] == [status] * 3


@pytest.mark.parametrize("act", ["cancel", "retry"])
async def test_a_deleted_job_takes_no_acts(client: httpx2.AsyncClient, job: dict[str, Any], act: str) -> None:
    """Its input is removed, so that nothing can be repeated."""
    await delete(client, job)
    answer = await client.post(job["urls"][act])
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")


async def test_its_key_is_answered_410(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """With the same body or another, and even without the row, the response is 410."""
    headers = {"Idempotency-Key": "a-key"}
    made = await submit(client, BODY, Idempotency_Key="a-key")
    await cancel(client, made)
    await delete(client, made)
    bodies = [BODY, {"input": {"prompt": "another"}}, BODY]
    answers = await asyncio.gather(*(client.post("/v1/jobs", json=body, headers=headers) for body in bodies))
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(410, "gone")] * 3
    other = await submit(client, BODY, Idempotency_Key="another-key")
    assert other["id"] != made["id"]
    await rows.execute("DELETE FROM outbox")
    await rows.execute("DELETE FROM jobs WHERE id = $1", UUID(made["id"]))
    assert (await client.post("/v1/jobs", json=BODY, headers=headers)).status_code == 410


# --- what goes and what stays ---


async def test_what_the_submitter_wrote_is_redacted(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The job, its letter and its attempts are redacted; the tombstone keeps the outcome."""
    made = await dead_job(client, rows)
    job_id = UUID(made["id"])
    await rows.execute("""UPDATE jobs SET overrides = '{"input": {"width": 64}}'""")
    await rows.execute(DETAILS)
    await delete(client, made)
    row = await rows.fetchrow("SELECT * FROM jobs WHERE id = $1", job_id)
    redacted = (row["input"], row["overrides"], row["metadata"], row["webhook_url"], row["user_id"])
    assert redacted == ("{}", None, "{}", None, None)
    assert (row["status"], row["deleted_at"] is not None, row["completed_at"] is not None) == ("failed", True, True)
    letter = await letter_of(rows, made)
    assert (letter["status"], letter["body"], letter["headers"], letter["x_death"]) == ("discarded", None, None, None)
    assert letter["resolved_at"] is not None
    for table in ("jobs", "dead_letters", "attempts"):
        text = await rows.fetchval(f"SELECT string_agg({table}::text, '') FROM {table}")
        assert "lighthouse" not in text, table


async def test_its_orphan_s_bytes_go_too(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """The letter of a job that was recreated from its message had the message."""
    made = await dead_job(client, rows)
    await rows.execute(
        "INSERT INTO dead_letters"
        " (kind, status, resolved_at, job_id, generation, model, reason, error, fingerprint, body) VALUES"
        " ('orphan', 'replayed', now(), $1, 1, 'tiny', 'orphan', '{}', '', 'a lighthouse')",
        UUID(made["id"]),
    )
    await delete(client, made)
    row = await rows.fetchrow("SELECT status, body FROM dead_letters WHERE kind = 'orphan'")
    assert tuple(row) == ("replayed", b"")


async def test_the_letter_of_its_webhook_stays_open(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, pool: Database
) -> None:
    """The delivery goes on after the deletion, so an operator can send it again."""
    made = await dead_job(client, rows)
    delivery = await rows.fetchval(GIVE_UP, UUID(made["id"]))
    await rows.execute("SELECT bury_delivery($1, 'The receiver answered 500.')", delivery)
    assert await delete(client, made) == 204
    kinds = await rows.fetch("SELECT kind, status FROM dead_letters ORDER BY kind")
    assert [tuple(row) for row in kinds] == [("job", "discarded"), ("webhook", "open")]
    letter = await rows.fetchval("SELECT id FROM dead_letters WHERE kind = 'webhook'")
    assert await replay(pool, letter, "test", no_catalogue) == Redelivered(letter, delivery, endpoint_paused=False)
    assert "lighthouse" in await rows.fetchval("SELECT snapshot FROM webhook_deliveries")


async def test_other_jobs_stay_whole(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """Deleting a job changes no other job."""
    made, other = await dead_job(client, rows), await dead_job(client, rows)
    before = [await rows.fetchrow("SELECT * FROM jobs WHERE id = $1", UUID(other["id"])), await letter_of(rows, other)]
    await delete(client, made)
    after = [await rows.fetchrow("SELECT * FROM jobs WHERE id = $1", UUID(other["id"])), await letter_of(rows, other)]
    assert before == after


async def test_its_deliveries_go_on(client: httpx2.AsyncClient, rows: asyncpg.Connection, job: dict[str, Any]) -> None:
    """Recorded webhook deliveries are still sent, with the job as it was."""
    assert await rows.fetchval("SELECT snapshot FROM webhook_deliveries") is None
    await delete(client, job)
    [delivery] = await rows.fetch("SELECT status, url, snapshot FROM webhook_deliveries")
    assert (delivery["status"], delivery["url"]) == ("pending", "https://example.com/hook?token=secret")
    assert msgspec.json.decode(delivery["snapshot"])["input"]["prompt"] == job["input"]["prompt"]


async def test_its_objects_are_swept(client: httpx2.AsyncClient, rows: asyncpg.Connection, job: dict[str, Any]) -> None:
    """The sweep is due at once, even if another was scheduled."""
    await rows.execute(
        "INSERT INTO object_sweeps VALUES ($1, now() + interval '1 hour', now() - interval '1 hour')", UUID(job["id"])
    )
    await delete(client, job)
    [sweep] = await rows.fetch("SELECT job_id, due_at <= now() AS due, empty_since FROM object_sweeps")
    assert tuple(sweep) == (UUID(job["id"]), True, None)


# --- against a replay ---


async def test_a_deleted_job_is_not_replayed(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, pool: Database
) -> None:
    """The refusal has the reason."""
    made = await dead_job(client, rows)
    letter = await letter_of(rows, made)
    await delete(client, made)
    with pytest.raises(ReplayRefusedError, match="was deleted"):
        await replay(pool, letter["id"], "test", no_catalogue)
    assert await rows.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_replayed_job_is_not_deleted(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, pool: Database
) -> None:
    """The job is queued again, so the response is 409."""
    made = await dead_job(client, rows)
    await replay(pool, (await letter_of(rows, made))["id"], "test", no_catalogue)
    assert await delete(client, made) == 409


@pytest.mark.parametrize("round_", range(3))
async def test_delete_and_replay_at_once(
    client: httpx2.AsyncClient, rows: asyncpg.Connection, pool: Database, round_: int
) -> None:
    """One of them wins for each of many jobs, without a deadlock, and no deleted job runs."""
    dead = [await dead_job(client, rows) for _ in range(20)]
    letters = [(await letter_of(rows, made))["id"] for made in dead]
    acts = [
        act
        for made, letter in zip(dead, letters, strict=True)
        for act in (delete(client, made), replay(pool, letter, "test", no_catalogue), delete(client, made))
    ]
    answers = await asyncio.gather(*acts, return_exceptions=True)
    for made, first, replayed, second in zip(dead, answers[::3], answers[1::3], answers[2::3], strict=True):
        row = await rows.fetchrow("SELECT status, deleted_at FROM jobs WHERE id = $1", UUID(made["id"]))
        if isinstance(replayed, Replayed):
            assert (first, second, tuple(row)) == (409, 409, ("queued", None))
        else:
            assert isinstance(replayed, ReplayRefusedError)
            assert sorted((first, second)) == [204, 410]  # type: ignore[type-var]
            assert (row["status"], row["deleted_at"] is not None) == ("failed", True)


async def test_deletes_at_once_do_it_once(client: httpx2.AsyncClient, job: dict[str, Any]) -> None:
    """One response is 204, the others are 410."""
    assert sorted(await asyncio.gather(*(delete(client, job) for _ in range(8)))) == [204] + [410] * 7
