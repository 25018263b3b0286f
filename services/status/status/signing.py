"""Presigned picture URLs, signed once for many requests."""

from datetime import datetime, timedelta

from cachetools import TTLCache

from chassis.settings import StorageSettings
from chassis.storage import Presigner

_MOST_URLS = 10_000


class SignedUrls:
    """Remembers each URL for half its lifetime, so that every answer's URL works for at least the other half."""

    def __init__(self, settings: StorageSettings, public_origin: str, lifetime: timedelta) -> None:
        self._presigner = Presigner(settings, public_origin, lifetime)
        self._signed: TTLCache[str, tuple[str, datetime]] = TTLCache(_MOST_URLS, lifetime.total_seconds() / 2)

    def url(self, key: str) -> tuple[str, datetime]:
        """A GET URL for the object, and when it expires."""
        signed = self._signed.get(key)
        if signed is None:
            signed = self._signed[key] = self._presigner.url(key)
        return signed
