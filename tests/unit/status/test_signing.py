"""Presigned picture URLs, signed once for many requests."""

from datetime import UTC, datetime, timedelta

import pytest
from cachetools import TTLCache

from status.signing import SignedUrls
from tests.support.clocks import Clock
from tests.unit.status.test_view import STORAGE

LIFETIME = timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time as the cache sees it."""
    clock = Clock()
    monkeypatch.setattr("status.signing.TTLCache", lambda size, ttl: TTLCache(size, ttl, timer=clock))
    return clock


def test_a_url_is_signed_once_for_half_its_lifetime(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gets a URL can use it for at least the other half."""
    urls = SignedUrls(STORAGE, "https://pictures.example", LIFETIME)
    signed: list[str] = []
    monkeypatch.setattr(urls, "_presigner", _Counting(signed))
    urls.url("a.png")
    clock.seconds = LIFETIME.total_seconds() / 2 - 1
    urls.url("a.png")
    assert signed == ["a.png"]
    clock.seconds = LIFETIME.total_seconds() / 2 + 1
    urls.url("a.png")
    assert signed == ["a.png", "a.png"]


class _Counting:
    def __init__(self, signed: list[str]) -> None:
        self._signed = signed

    def url(self, key: str) -> tuple[str, datetime]:
        self._signed.append(key)
        return key, datetime.now(UTC) + LIFETIME
