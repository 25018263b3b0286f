"""GET /v1/jobs/{id}/outputs/{index}: the link to a picture that can be kept."""

import asyncio
import io
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from tests.integration.status.jobs import TenantJobs
from tests.support.endpoints import Bucket
from tests.support.ids import aged_id


@pytest.fixture
def environment(environment: dict[str, str], bucket: Bucket) -> dict[str, str]:
    """Return settings with a real bucket, and with a public URL."""
    return environment | bucket.environment()


@pytest.fixture
async def picture(jobs: TenantJobs, bucket: Bucket) -> str:
    """Return the path of the link to the stored picture of a job."""
    (job_id,) = await jobs.queue()
    stored = await jobs.succeed(job_id, await jobs.claim(job_id))
    await asyncio.to_thread(bucket.client().put_object, bucket.name, stored.key, io.BytesIO(b"a picture"), 9)
    return link(job_id)


def link(job_id: UUID, index: str = "0") -> str:
    return f"/v1/jobs/{job_id}/outputs/{index}"


async def answered(client: httpx2.AsyncClient, path: str) -> tuple[int, str]:
    """Return status and code of a problem, which no cache may store."""
    answer = await client.get(path)
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["code"]


async def test_a_link_redirects_to_the_picture(client: httpx2.AsyncClient, picture: str, bucket: Bucket) -> None:
    """The location is a path with a presigned query, which works at S3 without a key and whatever the public URL is."""
    answer = await client.get(picture)
    assert (answer.status_code, answer.content) == (302, b"")
    location = answer.headers["location"]
    assert location.startswith(f"/{bucket.name}/jobs/")
    async with httpx2.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(bucket.endpoint + location)).content == b"a picture"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_redirect_is_neither_stored_nor_sent_on(client: httpx2.AsyncClient, picture: str, method: str) -> None:
    """The signature in the location must not reach a cache or another site."""
    answer = await client.request(method, picture)
    assert answer.status_code == 302
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")


async def test_the_link_of_a_job_leads_to_its_picture(client: httpx2.AsyncClient, picture: str) -> None:
    """The job's view has the link, at the public URL."""
    (output,) = (await client.get(picture.removesuffix("/outputs/0"))).json()["outputs"]
    assert output["link"] == f"https://darkroom.example{picture}"


@pytest.mark.parametrize("index", ["1", "00", "-1", "0.0", "first", "%00", "9" * 5000])
async def test_an_unknown_index_is_not_found(client: httpx2.AsyncClient, picture: str, index: str) -> None:
    """Only the index as the job shows it leads to a picture."""
    assert await answered(client, picture.removesuffix("0") + index) == (404, "not_found")


async def test_a_waiting_job_has_no_picture_yet(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """The problem says when there will be one."""
    (job_id,) = await jobs.queue()
    answer = await client.get(link(job_id))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "once it has succeeded" in answer.json()["detail"]


async def test_another_tenant_s_picture_answers_exactly_as_an_unknown_one(
    client: httpx2.AsyncClient, strangers: TenantJobs
) -> None:
    """Neither body nor headers reveal that the job exists."""
    (theirs,) = await strangers.queue()
    await strangers.succeed(theirs, await strangers.claim(theirs))
    unknown, foreign = [await client.get(link(job_id)) for job_id in (uuid4(), theirs)]
    assert unknown.status_code == 404
    assert (unknown.status_code, unknown.content) == (foreign.status_code, foreign.content)
    assert unknown.headers.keys() == foreign.headers.keys()


async def test_a_deleted_job_s_picture_is_gone(
    client: httpx2.AsyncClient, picture: str, rows: asyncpg.Connection
) -> None:
    """The link is not signed again, though the object may still be there."""
    await rows.execute("UPDATE jobs SET deleted_at = now(), input = '{}', metadata = '{}'")
    assert await answered(client, picture) == (410, "gone")


async def test_a_removed_picture_is_gone(client: httpx2.AsyncClient, picture: str, rows: asyncpg.Connection) -> None:
    """The pictures of an old job are removed before its record."""
    await rows.execute("UPDATE jobs SET outputs = '[]', outputs_removed_at = now()")
    assert await answered(client, picture) == (410, "gone")


async def test_a_purged_job_s_picture_is_gone(client: httpx2.AsyncClient, rows: asyncpg.Connection) -> None:
    """An unknown id that retention may have removed is a 410."""
    await rows.execute("UPDATE instance SET purged_before = now() - interval '90 days'")
    assert await answered(client, link(aged_id(timedelta(days=91)))) == (410, "gone")


async def test_a_link_needs_the_key(client: httpx2.AsyncClient, picture: str) -> None:
    """Unlike the presigned URL that it leads to."""
    answer = await client.get(picture, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "location" not in answer.headers


async def test_other_methods_are_refused(client: httpx2.AsyncClient, picture: str) -> None:
    """The 405 lists the only method."""
    answer = await client.delete(picture)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
