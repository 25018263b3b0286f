"""Presigned URLs of pictures, each signed once for many requests."""

from datetime import timedelta

from cachetools import TTLCache

from chassis.jobs.view import SignedUrl
from chassis.settings import StorageSettings
from chassis.storage import Presigner

_MOST_URLS = 10_000


class SignedUrls:
    """Caches each URL for half of its lifetime, so that every response's URL works for at least the other half."""

    def __init__(self, settings: StorageSettings, public_origin: str, lifetime: timedelta) -> None:
        self._presigner = Presigner(settings, public_origin, lifetime)
        self._signed: TTLCache[str, SignedUrl] = TTLCache(_MOST_URLS, lifetime.total_seconds() / 2)

    def url(self, key: str) -> SignedUrl:
        """Return a GET URL of the object."""
        signed = self._signed.get(key)
        if signed is None:
            signed = self._signed[key] = SignedUrl(*self._presigner.url(key))
        return signed
