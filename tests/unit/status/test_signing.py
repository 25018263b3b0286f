"""Presigned URLs of pictures, each signed once for many requests."""

from datetime import UTC, datetime, timedelta

import pytest
from cachetools import TTLCache
from msgspec.structs import replace

from chassis.jobs.view import job_view
from chassis.settings import StorageSettings
from darkroom_contracts.objects import StoredOutput
from status.signing import SignedUrls
from tests.support.clocks import Clock
from tests.support.job_rows import job_row

LIFETIME = timedelta(hours=1)
STORAGE = StorageSettings(s3_endpoint="http://s3.internal:9000", s3_access_key="access-key", s3_secret_key="secret-key")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the time of the cache."""
    clock = Clock()
    monkeypatch.setattr("status.signing.TTLCache", lambda size, ttl: TTLCache(size, ttl, timer=clock))
    return clock


def test_a_url_is_signed_once_for_half_its_lifetime(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL in a response is valid for at least the other half."""
    urls = SignedUrls(STORAGE, LIFETIME)
    signed: list[str] = []
    monkeypatch.setattr(urls, "_presigner", _Counting(signed))
    urls.path("a.png")
    clock.seconds = LIFETIME.total_seconds() / 2 - 1
    urls.path("a.png")
    assert signed == ["a.png"]
    clock.seconds = LIFETIME.total_seconds() / 2 + 1
    urls.path("a.png")
    assert signed == ["a.png", "a.png"]


class _Counting:
    def __init__(self, signed: list[str]) -> None:
        self._signed = signed

    def url(self, key: str) -> tuple[str, datetime]:
        self._signed.append(key)
        return key, datetime.now(UTC) + LIFETIME


def test_pictures_get_presigned_paths() -> None:
    """A client never sees the services' own address of S3, which the signature covers."""
    stored = StoredOutput(0, "jobs/1/0-ab.png", "image/png", 64, 64, 3000, "ab", 7)
    signed = SignedUrls(STORAGE, LIFETIME).path(stored.key)
    (output,) = job_view(job_row(outputs=[stored]), signed=[signed], origin="https://darkroom.example").outputs
    assert output.url.startswith("https://darkroom.example/darkroom/jobs/1/0-ab.png?X-Amz-")
    assert (output.index, output.width, output.size_bytes, output.sha256, output.seed) == (0, 64, 3000, "ab", 7)
    assert "s3.internal" not in output.url


def test_the_bucket_is_in_the_path_at_every_s3() -> None:
    """At AWS minio-py would move it into the host, where the edge does not find it."""
    aws = replace(STORAGE, s3_endpoint="https://s3.eu-central-1.amazonaws.com", s3_region="eu-central-1")
    assert SignedUrls(aws, LIFETIME).path("a.png").path.startswith("/darkroom/a.png?X-Amz-")
