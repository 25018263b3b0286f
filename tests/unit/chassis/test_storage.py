"""Answers that minio-py can't read, from an S3 server or from a proxy before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chassis.errors import StorageUnavailableError
from chassis.settings import StorageSettings
from chassis.storage import MESSAGE_LIMIT, Storage
from darkroom_local.ports import LOOPBACK

IN_PARTS = 11 << 20
"""Size of an object that is stored in parts."""


@asynccontextmanager
async def _answering(status: str, kind: str, body: bytes) -> AsyncIterator[Storage]:
    """Yield the storage at a server that answers each request alike."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lengths = [line.partition(":")[2] for line in request.splitlines() if line.startswith("content-length:")]
        await reader.readexactly(int(lengths[0]) if lengths else 0)
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        origin = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        yield Storage(StorageSettings(s3_endpoint=origin, s3_access_key="key", s3_secret_key="secret"))


@pytest.mark.parametrize(
    ("status", "kind", "body", "size"),
    [
        ("502 Bad Gateway", "application/xml", b"<html><body><h1>502 Bad Gateway</h1><hr>", 5),
        ("503 Service Unavailable", "text/html", "<html>derzeit nicht verfügbar".encode("latin-1"), 5),
        ("200 OK", "application/xml", b"<html>please log in", IN_PARTS),
        ("200 OK", "application/xml", b"<html>please log in</html>", IN_PARTS),
    ],
)
async def test_an_answer_that_can_not_be_read_is_an_outage(status: str, kind: str, body: bytes, size: int) -> None:
    """A picture that a proxy did not pass on is stored later: its job must not die of a bug."""
    async with _answering(status, kind, body) as storage:
        with pytest.raises(StorageUnavailableError, match="S3"):
            await storage.put("a.png", bytes(size), "image/png")


async def test_an_answer_is_quoted_in_part_and_without_nul() -> None:
    """The message of the error is bounded, and Postgres can store it with the attempt that failed."""
    async with _answering("502 Bad Gateway", "text/plain", b"\x00" * 1_000_000) as storage:
        with pytest.raises(StorageUnavailableError) as outage:
            await storage.put("a.png", b"bytes", "image/png")
    assert len(str(outage.value)) == MESSAGE_LIMIT
    assert "\x00" not in str(outage.value)
