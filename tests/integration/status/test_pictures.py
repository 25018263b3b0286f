"""Presigned URLs of pictures, with a real bucket."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.integration.status.jobs import TenantJobs
from tests.support.endpoints import Bucket


@pytest.fixture
def environment(environment: dict[str, str], bucket: Bucket) -> dict[str, str]:
    """Return settings with a real bucket, and without a public URL."""
    return environment | bucket.environment() | {"DARKROOM_PUBLIC_URL": ""}


async def test_a_job_s_picture_can_be_fetched_by_its_url(
    client: httpx2.AsyncClient, jobs: TenantJobs, bucket: Bucket
) -> None:
    """Path and query work at S3's own host, without an API key."""
    (job_id,) = await jobs.queue()
    stored = await jobs.succeed(job_id, await jobs.claim(job_id))
    await asyncio.to_thread(bucket.client().put_object, bucket.name, stored.key, io.BytesIO(b"a picture"), 9)
    (output,) = (await client.get(f"/v1/jobs/{job_id}")).json()["outputs"]
    async with httpx2.AsyncClient(base_url=bucket.endpoint, trust_env=False) as anybody:
        assert (await anybody.get(output["url"])).content == b"a picture"
        assert (await anybody.get(output["url"].replace(stored.sha256, "0" * 64))).status_code == 403
    remaining = datetime.fromisoformat(output["url_expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=58) < remaining <= timedelta(hours=1)


async def test_asking_again_gives_the_same_url(client: httpx2.AsyncClient, jobs: TenantJobs) -> None:
    """A client that polls need not download a picture twice, and the service signs it once."""
    (job_id,) = await jobs.queue()
    await jobs.succeed(job_id, await jobs.claim(job_id))
    first, second = [(await client.get(f"/v1/jobs/{job_id}")).json()["outputs"] for _ in range(2)]
    assert first == second


async def test_without_a_public_url_links_are_paths(
    client: httpx2.AsyncClient, jobs: TenantJobs, bucket: Bucket
) -> None:
    """They work under every name of the edge, and a page's origin stays its own."""
    (job_id,) = await jobs.queue()
    stored = await jobs.succeed(job_id, await jobs.claim(job_id))
    (output,) = (await client.get(f"/v1/jobs/{job_id}")).json()["outputs"]
    assert output["url"].startswith(f"/{bucket.name}/{stored.key}?")
    assert output["link"] == f"/v1/jobs/{job_id}/outputs/0"
