"""Where the parts are, and what a test does with each: fresh databases, vhosts and buckets."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
from minio import Minio
from minio.deleteobjects import DeleteObject

from operations.migrations.migrate import set_session_defaults
from tests.support.servers import Server, SharedServer


@dataclass
class Controlled:
    """An endpoint whose server may be stopped and started, unless it is shared or came from the environment."""

    server: Server | SharedServer | None = field(default=None, kw_only=True)

    @property
    def own_server(self) -> Server | None:
        """The server, where this process started it or is about to."""
        return None if isinstance(self.server, SharedServer) else self.server

    async def start(self) -> None:
        await self._controlled().start()

    async def stop(self) -> None:
        """Stop it the polite way."""
        await self._controlled().stop()

    async def kill(self) -> None:
        """Stop it the way a power cut would."""
        await self._controlled().kill()

    async def lose(self) -> None:
        """Stop it the way a power cut would, and lose all that it kept."""
        await self._controlled().lose()

    async def restart(self) -> None:
        """Stop it the polite way, then start it and wait until it is ready."""
        await self.stop()
        await self.start()

    def _controlled(self) -> Server:
        if self.own_server is None:
            raise RuntimeError("this server is shared; a test that stops one asks for a private one")
        return self.own_server


@dataclass
class Broker(Controlled):
    """A RabbitMQ node. `management_url` carries the credentials."""

    amqp_url: str
    management_url: str

    async def create_vhost(self, name: str | None = None) -> str:
        """Create a vhost, with a unique name unless one is given, and return its AMQP URL."""
        name = name or unique("vhost")
        async with self.management() as http:
            await _checked(http.put(f"/api/vhosts/{name}"))
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            await _checked(http.put(f"/api/permissions/{name}/{urlsplit(self.amqp_url).username}", json=everything))
        return with_path(self.amqp_url, name)

    async def delete_vhost(self, url: str) -> None:
        async with self.management() as http:
            await _checked(http.delete(f"/api/vhosts/{urlsplit(url).path.lstrip('/')}"))

    def management(self) -> httpx2.AsyncClient:
        """Return an HTTP client of the management API."""
        return httpx2.AsyncClient(base_url=self.management_url, timeout=30, trust_env=False)


@dataclass
class Database(Controlled):
    """A PostgreSQL server; the URL's role may create databases. Databases are clones of one migrated template."""

    url: str
    migrate: Callable[[str], object]
    _template: str | None = None

    async def create_database(self, *, migrated: bool = True) -> str:
        """Create a database, migrated or empty, and return its URL."""
        if not migrated:
            return await self._create(unique("test"), "template1")
        await self.make_template()
        url = await self._create(unique("test"), str(self._template))
        await set_session_defaults(url)  # they belong to a role in a database, so a clone has none
        return url

    async def drop_database(self, url: str) -> None:
        """Drop the database and close its connections."""
        await self._execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path.lstrip("/")}" WITH (FORCE)')

    async def drop_template(self) -> None:
        if self._template is not None:
            await self.drop_database(with_path(self.url, self._template))

    async def make_template(self) -> None:
        """Migrate the database that others are clones of, once. Not safe to call while it runs."""
        if self._template is None:
            name = unique("template")
            url = await self._create(name, "template1")
            await asyncio.to_thread(self.migrate, url)
            self._template = name

    async def _create(self, name: str, template: str) -> str:
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return with_path(self.url, name)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True)
class Bucket:
    """A bucket and who may use it."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """Return the settings that point a service at this bucket."""
        return {
            "DARKROOM_S3_ENDPOINT": self.endpoint,
            "DARKROOM_S3_ACCESS_KEY": self.access_key,
            "DARKROOM_S3_SECRET_KEY": self.secret_key,
            "DARKROOM_S3_BUCKET": self.name,
            "DARKROOM_S3_REGION": self.region,
        }

    def client(self) -> Minio:
        """Return a blocking S3 client of this bucket's endpoint."""
        parts = urlsplit(self.endpoint)
        return Minio(
            parts.netloc,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=parts.scheme == "https",
            region=self.region,
        )

    def object_keys(self) -> list[str]:
        """List the keys of all objects in the bucket."""
        return [str(item.object_name) for item in self.client().list_objects(self.name, recursive=True)]


@dataclass
class ObjectStore(Controlled):
    """An S3 endpoint."""

    endpoint: str
    access_key: str
    secret_key: str

    async def create_bucket(self) -> Bucket:
        bucket = Bucket(self.endpoint, self.access_key, self.secret_key, unique("bucket"))
        await asyncio.to_thread(bucket.client().make_bucket, bucket.name)
        return bucket

    async def delete_bucket(self, bucket: Bucket) -> None:
        await asyncio.to_thread(_empty_and_remove, bucket)


def unique(kind: str) -> str:
    """Return a name that no other test or test run uses."""
    return f"darkroom-{kind}-{secrets.token_hex(6)}"


def with_path(url: str, path: str) -> str:
    """Return the URL with another path."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def _empty_and_remove(bucket: Bucket) -> None:
    client = bucket.client()
    errors = list(client.remove_objects(bucket.name, [DeleteObject(key) for key in bucket.object_keys()]))
    if errors:
        raise RuntimeError(f"bucket {bucket.name} can't be emptied: {errors[0]}")
    client.remove_bucket(bucket.name)


async def _checked(request: Awaitable[httpx2.Response]) -> None:
    (await request).raise_for_status()
