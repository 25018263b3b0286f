"""Jobs that are about to end, and their ends."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from chassis.postgres import load_queries

queries = load_queries("bench.webhooks")

TIMEOUT_SECONDS = 300
CHUNK = 1_000
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_KEY = f"jobs/01993b5c-0000-7000-8000-000000000001/0-{_DIGEST}.png"
_VERSIONS = {"torch": "2.13.0", "diffusers": "0.42.0", "transformers": "5.23.0"}
_OUTPUT = {"index": 0, "key": _KEY, "content_type": "image/png", "width": 512, "height": 512, "size_bytes": 402_512}
_RECEIPT = {"model_revision": _DIGEST, "scheduler": "ddim", "dtype": "float16", "device": "NVIDIA L4"}
RESULT = {
    "outputs": msgspec.json.encode([{**_OUTPUT, "sha256": _DIGEST, "seed": 7}]).decode(),
    "receipt": msgspec.json.encode({**_RECEIPT, "versions": _VERSIONS, "batch_size": 1, "tiled": False}).decode(),
    "metrics": msgspec.json.encode({"queue_ms": 2000.0, "inference_ms": 6400.0, "store_ms": 180.0}).decode(),
}
"""What the worker records of a success, as JSON."""


class Endings:
    """Running jobs of some tenants in an otherwise empty database, in the order in which they are to end."""

    def __init__(self, database: asyncpg.Connection, tenants: Sequence[UUID]) -> None:
        self.database = database
        self.tenants = tenants
        self._next = 0

    @classmethod
    async def prepare(cls, database: asyncpg.Connection, tenants: int) -> "Endings":
        """Empty the database and make tenants."""
        await queries.create_endings(database)
        await queries.empty(database)
        return cls(database, [row["id"] async for row in queries.add_tenants(database, count=tenants)])

    async def add(self, count: int, urls: Sequence[str | None], metadata: str = "{}", padding: int = 0) -> range:
        """Add running jobs and return their numbers. A URL is followed by the number; None means no webhook."""
        numbers = range(self._next, self._next + count)
        self._next += count
        await queries.add_running_jobs(
            self.database,
            tenants=self.tenants,
            urls=urls,
            metadata=metadata,
            padding=padding,
            first=numbers.start,
            count=count,
        )
        return numbers

    async def settle_all(self, numbers: range) -> None:
        """End jobs, many in each transaction."""
        for first in range(numbers.start, numbers.stop, CHUNK):
            count = min(CHUNK, numbers.stop - first)
            ended = await queries.settle_all(self.database, first=first, count=count, **RESULT)
            assert ended == count, "every job was running"

    async def write_out(self) -> None:
        """Vacuum and analyze the tables, then checkpoint."""
        await self.database.execute(queries.vacuum.sql, timeout=TIMEOUT_SECONDS)
        await self.checkpoint()

    async def checkpoint(self) -> None:
        """Write dirty pages to disk."""
        await self.database.execute(queries.checkpoint.sql, timeout=TIMEOUT_SECONDS)
