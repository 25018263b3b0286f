"""Presigned URLs of pictures, each signed once for many requests."""

from datetime import timedelta
from urllib.parse import urlsplit

from cachetools import TTLCache

from chassis.jobs.view import SignedPath
from chassis.settings import StorageSettings
from chassis.storage import Presigner

_MOST_URLS = 10_000


class SignedUrls:
    """Caches each URL for half of its lifetime, so that every response's URL works for at least the other half."""

    def __init__(self, settings: StorageSettings, lifetime: timedelta) -> None:
        self._presigner = Presigner(settings, lifetime)
        self._signed: TTLCache[str, SignedPath] = TTLCache(_MOST_URLS, lifetime.total_seconds() / 2)

    def path(self, key: str) -> SignedPath:
        """Return path and query of a GET URL of the object."""
        signed = self._signed.get(key)
        if signed is None:
            signed = self._signed[key] = self._sign(key)
        return signed

    def _sign(self, key: str) -> SignedPath:
        url, expires_at = self._presigner.url(key)
        parts = urlsplit(url)
        return SignedPath(f"{parts.path}?{parts.query}", expires_at)
