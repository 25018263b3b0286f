"""A database restored from a backup that is older than jobs which wait, and one which renders."""

from pathlib import Path
from typing import Any

import pytest

from darkroom_contracts.states import JobStatus
from tests.support.backups import back_up, restore
from tests.support.http_client import Client, request
from tests.support.stack import MODEL, Stack
from tests.support.stack_fixtures import StackFactory
from tests.support.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
WAITING = 5


async def _submit(client: Client, key: str, steps: int) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json=request(MODEL, steps=steps), headers={"Idempotency-Key": key})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def _published(stack: Stack) -> bool:
    return await stack.ledger.count("outbox") == 0


async def test_no_job_is_lost_in_a_restore(start_stack: StackFactory, tmp_path: Path) -> None:
    """Jobs younger than the backup become orphans; replayed, each succeeds under its old id and its key."""
    stack = await start_stack()
    await stack.worker("one")
    async with await stack.client() as client:
        old = await client.submit(MODEL)
        (before,) = await client.succeeded(old)
        await back_up(stack.places.database_url, tmp_path / "backup")

        rendering = await _submit(client, "rendering", steps=500)
        waiting = [await _submit(client, f"waiting-{number}", steps=2) for number in range(WAITING)]
        await client.rendering(rendering["id"])
        await eventually(lambda: _published(stack), what="all messages are in the queue")
        await restore(stack.places.database_url, tmp_path / "backup")

        young = {job["id"]: job for job in (rendering, *waiting)}
        await eventually(lambda: _orphaned(stack, set(young)), seconds=120, what="each has a dead letter")
        assert (await client.get(f"/v1/jobs/{rendering['id']}")).status_code == 404
        for letter in await stack.ledger.rows("SELECT id FROM dead_letters"):
            await stack.command("dead-letters", "replay", str(letter["id"]))

        for job in await client.succeeded(*young, seconds=120):
            assert (job.generation, job.input.seed) == (2, young[str(job.id)]["input"]["seed"])
            assert (await client.download(job.outputs[0])).status_code == 200
        again = await client.post("/v1/jobs", json=request(MODEL, steps=500), headers={"Idempotency-Key": "rendering"})
        assert (again.json()["id"], again.headers["idempotency-replayed"]) == (rendering["id"], "true")
        (after,) = await client.succeeded(old)
        assert (after.status, after.completed_at) == (JobStatus.SUCCEEDED, before.completed_at)
    resolved = await stack.ledger.rows("SELECT kind, status FROM dead_letters")
    assert {tuple(row) for row in resolved} == {("orphan", "replayed")}
    assert await stack.ledger.count("jobs") == 1 + len(young)


async def _orphaned(stack: Stack, job_ids: set[str]) -> bool:
    letters = await stack.ledger.rows("SELECT job_id, kind, status FROM dead_letters")
    assert {(row["kind"], row["status"]) for row in letters} <= {("orphan", "open")}
    return {str(row["job_id"]) for row in letters} == job_ids
