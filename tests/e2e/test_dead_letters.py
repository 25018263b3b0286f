"""What can't be rendered is kept for an operator, who can read, mend and replay it."""

import json
from uuid import uuid4

import pytest

from darkroom_contracts.states import JobStatus
from darkroom_contracts.topology import work_queue
from tests.support.http_client import Client
from tests.support.processes import ServiceProcess, render_process
from tests.support.stack import MODEL, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("workers")]

UNREADABLE = {
    "garbage": b"\x00\xff not json",
    "unknown version": b'{"type":"darkroom.render.v99","job_id":"%s"}' % str(uuid4()).encode(),
    "wrong type": b'{"type":"darkroom.render.v1","job_id":7}',
    "deep nesting": b"[" * 20_000,
    "empty": b"",
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_an_unreadable_message_is_kept_and_the_worker_goes_on(stack: Stack, client: Client, case: str) -> None:
    """It lands among the dead letters with its exact bytes and a reason, once however often it comes."""
    body = UNREADABLE[case]

    async def letters() -> list[str]:
        return [str(row["reason"]) for row in await stack.ledger.dead_letters() if row["body"] == body]

    async def kept() -> bool:
        return len(await letters()) == 1

    for _ in range(2):
        await stack.queues.publish(MODEL, body, {"from": "a stranger"})
    await eventually(kept, what="the message is a dead letter")
    await client.succeeded(*[await client.submit(MODEL) for _ in range(3)])
    assert await letters() == ["undecodable"]
    (letter,) = [row for row in await stack.ledger.dead_letters() if row["body"] == body]
    assert json.loads(letter["headers"])["from"] == "a stranger"
    assert json.loads(letter["error"])["message"]
    assert await stack.queues.waiting(work_queue(MODEL)) == 0


async def test_a_replayed_job_succeeds_in_a_new_generation(
    stack: Stack, client: Client, workers: dict[str, ServiceProcess]
) -> None:
    """A job that died is listed with its failed attempt; `darkroom dead-letters replay` brings it to its picture."""
    job_id = await client.submit(MODEL, steps=150, seed=9)
    await client.rendering(job_id)
    await stack.ledger.rows("UPDATE jobs SET max_attempts = 1 WHERE id = $1::text::uuid", job_id)
    (attempt,) = await stack.ledger.attempts(job_id)
    render_process(workers[attempt.worker]).kill()
    dead = await client.finished(job_id)
    assert (dead.status, dead.dead_lettered) == (JobStatus.FAILED, True)
    (letter,) = await stack.ledger.dead_letters(job_id)
    listed = json.loads(await stack.command("dead-letters", "list", "--json"))
    assert str(letter["id"]) in [entry["id"] for entry in listed]
    shown = json.loads(await stack.command("dead-letters", "show", str(letter["id"]), "--json"))
    assert shown["reason"] == "render_process_lost"
    assert [told["worker"] for told in shown["attempts"]] == [attempt.worker]

    await stack.command("dead-letters", "replay", str(letter["id"]), "--json")
    (job,) = await client.succeeded(job_id)
    assert (job.generation, job.attempt, job.dead_lettered) == (2, 1, False)
    assert [told.outcome for told in await stack.ledger.attempts(job_id)] == ["failed", "succeeded"]
    (letter,) = await stack.ledger.dead_letters(job_id)
    assert letter["status"] == "replayed"
