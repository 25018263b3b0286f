"""Reads of deleted jobs, purged ids and expired pictures."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx2

from tests.integration.status.jobs import TenantJobs
from tests.support.ids import aged_id

DELETE = "UPDATE jobs SET deleted_at = now(), input = '{}', metadata = '{}' WHERE id = $1"


async def answered(client: httpx2.AsyncClient, job_id: UUID) -> tuple[int, str]:
    answer = await client.get(f"/v1/jobs/{job_id}")
    return answer.status_code, answer.json()["code"]


async def test_a_deleted_job_is_gone(
    client: httpx2.AsyncClient, jobs: TenantJobs, strangers: TenantJobs, rows: asyncpg.Connection
) -> None:
    """The response is 410 for its tenant, and 404 for any other."""
    (ours,) = await jobs.queue()
    (theirs,) = await strangers.queue()
    for job_id in (ours, theirs):
        await jobs.fail(job_id, None, {"code": "expired", "message": "late", "retryable": True})
        await rows.execute(DELETE, job_id)
    assert await answered(client, ours) == (410, "gone")
    assert await answered(client, theirs) == (404, "not_found")


async def test_an_id_that_was_purged_is_gone(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """An unknown id that retention may have removed is a 410, a later one a 404."""
    await rows.execute("UPDATE instance SET purged_before = now() - interval '90 days'")
    assert await answered(client, aged_id(timedelta(days=91))) == (410, "gone")
    assert await answered(client, aged_id(timedelta(days=89))) == (404, "not_found")


async def test_a_job_tells_when_its_pictures_went(
    client: httpx2.AsyncClient, jobs: TenantJobs, rows: asyncpg.Connection
) -> None:
    """Outputs are empty, so that no URL is dead; the receipt stays."""
    (job_id,) = await jobs.queue()
    await jobs.succeed(job_id, await jobs.claim(job_id))
    before = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (len(before["outputs"]), before["outputs_removed_at"]) == (1, None)
    await rows.execute("UPDATE jobs SET outputs = '[]', outputs_removed_at = '2026-11-25 12:00+00'")
    after = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert (after["status"], after["outputs"]) == ("succeeded", [])
    assert after["outputs_removed_at"] == "2026-11-25T12:00:00Z"
    assert after["receipt"] == before["receipt"]
