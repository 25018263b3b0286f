"""S3 by minio-py in threads, which is as fast as the async clients for objects of 400 kB."""

import asyncio
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import minio
import urllib3
from minio.deleteobjects import DeleteObject
from minio.error import MinioException

from chassis.errors import StorageUnavailableError
from chassis.settings import StorageSettings
from chassis.text import storable

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 20.0

_AWAY = (MinioException, urllib3.exceptions.HTTPError, OSError, ParseError, ValueError)
"""What minio-py 7 raises when S3 is away or refuses. ParseError and ValueError stand for answers that it can't read:
the page of a proxy, text that is not UTF-8, XML of another kind."""
MESSAGE_LIMIT = 1000
"""Characters of an error's message, which quotes answers whole. It is logged, and kept with the attempt that failed."""


class Storage:
    """One bucket."""

    def __init__(self, settings: StorageSettings) -> None:
        self._bucket = settings.s3_bucket
        self._client = _client(settings)

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        """Store an object. Raises StorageUnavailableError."""
        await self._call(
            self._client.put_object, self._bucket, key, io.BytesIO(body), len(body), content_type=content_type
        )

    async def keys(self, prefix: str) -> list[str]:
        """Return all keys with the prefix. Raises StorageUnavailableError."""
        return await self._call(self._keys, prefix)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove the objects. Missing ones are ignored. Raises StorageUnavailableError."""
        await self._call(self._remove, keys)

    async def check(self) -> None:
        """Raise StorageUnavailableError unless the bucket exists."""
        if not await self._call(self._client.bucket_exists, self._bucket):
            raise StorageUnavailableError(f"There is no bucket {self._bucket!r}.")

    def _keys(self, prefix: str) -> list[str]:
        found = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
        return [str(item.object_name) for item in found]

    def _remove(self, keys: Sequence[str]) -> None:
        for error in self._client.remove_objects(self._bucket, map(DeleteObject, keys)):
            raise StorageUnavailableError(f"S3 did not remove an object: {error.code}")

    async def _call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except _AWAY as error:
            raise StorageUnavailableError(storable(f"S3: {error}")[:MESSAGE_LIMIT]) from error


class Presigner:
    """Signer of download URLs for S3's own host. Makes no requests."""

    def __init__(self, settings: StorageSettings, lifetime: timedelta) -> None:
        self._bucket = settings.s3_bucket
        self._client = _client(settings)
        # minio-py moves the bucket into the host at AWS; the edge's picture route needs it in the path.
        self._client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # minio-py has no annotation
        self._lifetime = lifetime

    def url(self, key: str) -> tuple[str, datetime]:
        """Return a GET URL of the object, and the time at which it expires."""
        signed_at = datetime.now(UTC).replace(microsecond=0)
        url = self._client.presigned_get_object(self._bucket, key, self._lifetime, request_date=signed_at)
        return url, signed_at + self._lifetime


def _client(settings: StorageSettings) -> minio.Minio:
    parts = urlsplit(settings.s3_endpoint)
    return minio.Minio(
        endpoint=parts.netloc,
        secure=parts.scheme == "https",
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
        region=settings.s3_region,
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS),
            retries=urllib3.Retry(total=1, backoff_factor=0.2),
            maxsize=8,
        ),
    )
