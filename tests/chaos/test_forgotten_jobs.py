"""Messages whose jobs are not in the database, after a restore from an older backup or after retention."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from darkroom_contracts.topology import DEAD_EXCHANGE, work_queue
from tests.support.backups import back_up, restore
from tests.support.http_client import Client, request
from tests.support.stack import DROPPED, MODEL, Stack
from tests.support.stack_fixtures import StackFactory
from tests.support.sweeping import PROOF_SECONDS, wait_for_messages
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

INGESTED_AND_DROPPED = 'darkroom_operations_ingested_total{result="dropped"}'
NEWER = 5


@pytest.mark.long
async def test_a_database_restored_from_an_older_backup(start_stack: StackFactory, tmp_path: Path) -> None:
    """No job is lost whose message waits or is rendered: each is a dead letter, and replayed it is made again.

    It has its Idempotency-Key again, and is rendered. What the backup knows to wait is rendered, too.
    """
    stack = await start_stack()
    async with await stack.client() as client:
        waited = await client.submit(MODEL)
        await wait_for_messages(stack, MODEL, 1)
        await back_up(stack.places.database_url, tmp_path / "backup")
        worker = await stack.worker("one")
        await client.succeeded(waited)
        rendered = (await _post(client, "rendered", steps=600)).json()["id"]
        await client.rendering(rendered)
        keys = {key: (await _post(client, key)).json()["id"] for key in (f"key-{n}" for n in range(NEWER))}
        await wait_for_messages(stack, MODEL, NEWER)
        newer = {rendered, *keys.values()}

        await restore(stack.places.database_url, tmp_path / "backup")
        letters = await _orphans(stack, newer)
        assert {letter["kind"] for letter in letters} == {"orphan"}
        await asyncio.gather(*(stack.command("dead-letters", "replay", letter["id"], "--json") for letter in letters))
        for key, job_id in keys.items():
            assert (await _post(client, key)).json()["id"] == job_id
        jobs = await client.succeeded(*newer, waited, seconds=PROOF_SECONDS)
        assert {job.generation for job in jobs if str(job.id) in newer} == {2}
    assert await stack.ledger.outcomes(*newer) == ["succeeded"] * len(newer)
    assert await stack.ledger.count("jobs") == len(newer) + 1
    assert await worker.stop() == 0


async def test_a_purged_job_s_duplicate_resurrects_nothing(start_stack: StackFactory) -> None:
    """Wherever a copy of its message turns up after retention let it go, the copy is dropped."""
    stack = await start_stack()
    async with await stack.client() as client:
        job_id = await client.submit(MODEL)
        await wait_for_messages(stack, MODEL, 1)
        body = await _copy_of_the_message(stack)
        worker = await stack.worker("one")
        await client.succeeded(job_id)
        await stack.ledger.rows("UPDATE instance SET purged_before = now()")
        await stack.ledger.rows("DELETE FROM jobs")
        await stack.queues.publish(MODEL, body)
        await stack.queues.publish("", body, exchange=DEAD_EXCHANGE)

        async def dropped() -> bool:
            ingested = await stack.operations.metric(INGESTED_AND_DROPPED)
            return (await worker.metric(DROPPED), ingested) == (1, 1)

        await eventually(dropped, what="both copies are dropped")
        assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 410
    assert [await stack.ledger.count(table) for table in ("jobs", "dead_letters", "outbox")] == [0, 0, 0]
    assert await stack.queues.waiting(work_queue(MODEL)) == 0


async def _post(client: Client, key: str, steps: int = 2) -> httpx2.Response:
    answer = await client.post("/v1/jobs", json=request(MODEL, steps=steps), headers={"Idempotency-Key": key})
    assert answer.status_code == 202, answer.text
    return answer


async def _orphans(stack: Stack, job_ids: set[str]) -> list[dict[str, str]]:
    """Wait until each of these jobs has a dead letter, and return the letters; there must be no other."""
    letters: list[dict[str, str]] = []

    async def listed() -> bool:
        letters[:] = json.loads(await stack.command("dead-letters", "list", "--json"))
        return {letter["job_id"] for letter in letters} >= job_ids

    await eventually(listed, seconds=PROOF_SECONDS, what="each job that the backup does not know is a dead letter")
    assert {letter["job_id"] for letter in letters} == job_ids
    assert len(letters) == len(job_ids)
    return letters


async def _copy_of_the_message(stack: Stack) -> bytes:
    """Return the bytes of the waiting message, which stays in the queue."""
    async with stack.queues.channel() as channel:
        message = await (await channel.get_queue(work_queue(MODEL))).get(timeout=10)
        assert message is not None
        return bytes(message.body)
