"""S3: put, presign, expiry and absence, on a real endpoint."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from msgspec.structs import replace

from chassis.errors import StorageUnavailableError
from chassis.settings import StorageSettings
from chassis.storage import Presigner, Storage
from darkroom_local.ports import LOOPBACK
from tests.support.buckets import storage_settings
from tests.support.endpoints import Bucket
from tests.support.ports import free_port
from tests.support.waiting import eventually

REFUSED = (400, 403)
"""The status codes with which S3 servers refuse a request differ."""


@pytest.fixture
def settings(bucket: Bucket) -> StorageSettings:
    return storage_settings(bucket)


def presigner(settings: StorageSettings, seconds: int) -> Presigner:
    return Presigner(settings, timedelta(seconds=seconds))


async def fetch(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(url)


async def test_what_is_put_can_be_fetched_by_its_presigned_url(settings: StorageSettings) -> None:
    """A presigned URL returns the stored bytes, without a key."""
    await Storage(settings).put("jobs/1/0-ab.png", b"\x89PNG\x00bytes", "image/png")
    url, expires_at = presigner(settings, 60).url("jobs/1/0-ab.png")
    assert (await fetch(url)).content == b"\x89PNG\x00bytes"
    assert timedelta(seconds=55) < expires_at - datetime.now(UTC) <= timedelta(seconds=60)


async def test_putting_again_replaces(settings: StorageSettings, bucket: Bucket) -> None:
    """Storing the same key twice leaves one object."""
    storage = Storage(settings)
    for body in (b"one", b"two"):
        await storage.put("jobs/1/0.png", body, "image/png")
    assert bucket.object_keys() == ["jobs/1/0.png"]
    assert (await fetch(presigner(settings, 60).url("jobs/1/0.png")[0])).content == b"two"


async def test_a_url_works_for_its_object_alone(settings: StorageSettings) -> None:
    """A presigned URL that was changed is refused."""
    storage = Storage(settings)
    for key in ("a.png", "b.png"):
        await storage.put(key, b"bytes", "image/png")
    url, _ = presigner(settings, 60).url("a.png")
    assert (await fetch(url.replace("a.png", "b.png"))).status_code in REFUSED
    assert (await fetch(url.partition("?")[0])).status_code in REFUSED


async def test_a_url_expires(settings: StorageSettings) -> None:
    """A presigned URL expires at its time."""
    await Storage(settings).put("a.png", b"bytes", "image/png")
    url, expires_at = presigner(settings, 2).url("a.png")

    async def refused() -> bool:
        return (await fetch(url)).status_code in REFUSED

    await eventually(refused, seconds=15, what="the URL has expired")
    assert datetime.now(UTC) >= expires_at - timedelta(seconds=1)


async def test_a_prefix_s_objects_are_found_and_removed(settings: StorageSettings, bucket: Bucket) -> None:
    """All objects with a prefix, and no others, are listed and removed; removing a missing object raises nothing."""
    storage = Storage(settings)
    ours, others = [f"jobs/1/{name}.png" for name in ("a", "b/c")], ["jobs/10/a.png", "jobs/2/a.png"]
    for key in (*ours, *others):
        await storage.put(key, b"bytes", "image/png")
    assert sorted(await storage.keys("jobs/1/")) == ours
    await storage.remove([*ours, "jobs/1/never-was.png"])
    assert await storage.keys("jobs/1/") == []
    await storage.remove([])
    assert bucket.object_keys() == others


async def test_more_objects_than_a_page_are_all_found(settings: StorageSettings) -> None:
    """More than a thousand objects are listed and removed."""
    storage = Storage(settings)
    keys = [f"jobs/1/{number}.png" for number in range(1001)]
    await asyncio.gather(*(storage.put(key, b"", "image/png") for key in keys))
    assert sorted(await storage.keys("jobs/1/")) == sorted(keys)
    await storage.remove(keys)
    assert await storage.keys("jobs/1/") == []


async def test_readiness_wants_the_bucket(settings: StorageSettings) -> None:
    """A missing bucket fails the check."""
    await Storage(settings).check()
    with pytest.raises(StorageUnavailableError, match="no bucket"):
        await Storage(replace(settings, s3_bucket="another-bucket")).check()


async def test_an_endpoint_that_is_not_there_is_unavailable(settings: StorageSettings) -> None:
    """Every call on an S3 server that can't be reached raises StorageUnavailableError."""
    storage = Storage(replace(settings, s3_endpoint=f"http://{LOOPBACK}:{free_port()}"))
    for call in (
        storage.check(),
        storage.put("a.png", b"bytes", "image/png"),
        storage.keys("jobs/"),
        storage.remove(["a.png"]),
    ):
        with pytest.raises(StorageUnavailableError):
            await call


async def test_wrong_credentials_are_told_as_unavailable(settings: StorageSettings) -> None:
    """A refused key raises StorageUnavailableError."""
    with pytest.raises(StorageUnavailableError):
        await Storage(replace(settings, s3_secret_key="wrong-secret")).put("a.png", b"bytes", "image/png")
