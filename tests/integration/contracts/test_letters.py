"""What a dead letter says about the attempt that failed, and what it adds to the counts of its group."""

import json
from uuid import UUID, uuid4

import asyncpg

from darkroom_contracts.states import JobStatus
from tests.integration.contracts.rows import insert_job, update

ERROR = json.dumps({"code": "pipeline_error", "stage": "render", "message": "broke at step 7"})
FINISH = """
    SELECT finish_job(id, generation, lease_token, $2, $3, CASE $2 WHEN 'succeeded' THEN '[]'::jsonb END)
    FROM jobs WHERE id = $1
"""
LETTERS = "SELECT * FROM dead_letters ORDER BY id"
DELTAS = "SELECT group_id, letter_id, change, is_new FROM dead_letter_deltas ORDER BY id"
REPLAY = {
    "status": "'queued'",
    "generation": "generation + 1",
    "attempt": "0",
    "dead_lettered": "false",
    "completed_at": "NULL",
    "error": "NULL",
}
RUN = {
    "status": "'running'",
    "attempt": "1",
    "started_at": "now()",
    "lease_token": "gen_random_uuid()",
    "lease_expires_at": "now()",
}
DELIVERY = """
    INSERT INTO webhook_deliveries (endpoint_id, event, url, origin, body, status, next_attempt_at, finished_at)
    VALUES (gen_random_uuid(), 'x', 'https://x.example/', 'https://x.example:443', '{}', 'failed', NULL, now())
    RETURNING id
"""


async def fail(connection: asyncpg.Connection, job_id: UUID) -> asyncpg.Record:
    """Fail a job, and return its newest letter."""
    assert await connection.fetchval(FINISH, job_id, "failed", ERROR)
    return (await connection.fetch(LETTERS))[-1]


async def test_a_letter_names_the_worker_of_its_attempt(connection: asyncpg.Connection) -> None:
    """And its session; that of a job that failed while it was queued names none."""
    session, job_id = uuid4(), await insert_job(connection, JobStatus.RUNNING)
    await update(connection, "jobs", {"session_id": f"'{session}'"}, job_id)
    letter = await fail(connection, job_id)
    assert (letter["worker"], letter["session_id"], letter["returns"]) == ("ansel", session, 0)
    await update(connection, "jobs", REPLAY, job_id)
    queued = await fail(connection, job_id)
    assert (queued["worker"], queued["session_id"]) == (None, None)


async def test_a_letter_counts_the_ones_before_it(connection: asyncpg.Connection) -> None:
    """Of the same job, whatever their states are."""
    job_id = await insert_job(connection, JobStatus.RUNNING)
    for returns in range(3):
        assert (await fail(connection, job_id))["returns"] == returns
        await update(connection, "jobs", REPLAY, job_id)
        await update(connection, "jobs", RUN, job_id)


async def test_the_letter_of_a_delivery_counts_the_ones_that_were_replayed(connection: asyncpg.Connection) -> None:
    """The letter that a redelivery answered is resolved when the delivery is buried again."""
    delivery = await connection.fetchval(DELIVERY)
    for returns in range(3):
        await connection.execute("SELECT bury_delivery($1, 'The receiver answered 500.')", delivery)
        letters = await connection.fetch(LETTERS)
        assert [letter["status"] for letter in letters] == ["replayed"] * returns + ["open"]
        assert [letter["returns"] for letter in letters] == list(range(returns + 1))
        await connection.execute("UPDATE dead_letters SET status = 'replaying' WHERE status = 'open'")
    assert await connection.fetchval("SELECT dead_lettered FROM webhook_deliveries")


async def test_each_change_of_what_is_open_appends_a_delta(connection: asyncpg.Connection) -> None:
    """A letter that is replayed after it was replaying is counted off once; a success appends nothing."""
    succeeded = await insert_job(connection, JobStatus.RUNNING)
    assert await connection.fetchval(FINISH, succeeded, "succeeded", None)
    assert await connection.fetch(DELTAS) == []
    letter = await fail(connection, await insert_job(connection, JobStatus.RUNNING))
    for columns in (
        {"status": "'replaying'"},
        {"status": "'replayed'", "resolved_at": "now()"},
        {"x_death": "'[]'"},
        {"status": "'open'", "resolved_at": "NULL"},
    ):
        await update(connection, "dead_letters", columns, letter["id"])
    await connection.execute("DELETE FROM dead_letters")
    deltas = await connection.fetch(DELTAS)
    assert [(row["change"], row["is_new"]) for row in deltas] == [(1, True), (-1, False), (1, False), (-1, False)]
    assert {(row["group_id"], row["letter_id"]) for row in deltas} == {(letter["group_id"], letter["id"])}


async def test_a_group_is_of_a_kind_a_model_and_a_fingerprint(connection: asyncpg.Connection) -> None:
    """The writer of a letter need not name its group."""
    letter = await fail(connection, await insert_job(connection, JobStatus.RUNNING))
    other = await fail(connection, await insert_job(connection, JobStatus.RUNNING))
    assert letter["group_id"] == other["group_id"]
    for columns in ({"model": "'other'"}, {"fingerprint": "'other'"}):
        await update(connection, "dead_letters", columns, other["id"])
        changed = await connection.fetchval("SELECT group_id FROM dead_letters WHERE id = $1", other["id"])
        assert changed not in (letter["group_id"], other["group_id"])
