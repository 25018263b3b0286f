"""Presigned URLs of pictures, with a real bucket."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from darkroom_local.ports import LOOPBACK
from tests.integration.status.jobs import TenantJobs
from tests.support.endpoints import Bucket


@pytest.fixture
def environment(environment: dict[str, str], bucket: Bucket) -> dict[str, str]:
    """Return settings with a real bucket."""
    return environment | bucket.environment()


async def test_a_job_s_picture_can_be_fetched_by_its_url(
    client: httpx2.AsyncClient, jobs: TenantJobs, bucket: Bucket
) -> None:
    """The download needs no API key."""
    (job_id,) = await jobs.queue()
    stored = await jobs.succeed(job_id, await jobs.claim(job_id))
    await asyncio.to_thread(bucket.client().put_object, bucket.name, stored.key, io.BytesIO(b"a picture"), 9)
    (output,) = (await client.get(f"/v1/jobs/{job_id}")).json()["outputs"]
    async with httpx2.AsyncClient(trust_env=False) as anybody:
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
    assert LOOPBACK in first[0]["url"]
