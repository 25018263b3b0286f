"""A stand-in for a service behind the edge: it answers every request with its own name."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from darkroom_local.ports import LOOPBACK


@dataclass
class StubServer:
    """One service's place. `requests` holds the lines of requests that reached it whole, `heads` all of their heads."""

    name: str
    address: str = ""
    silent: bool = False
    """Whether it never answers, and only waits for its client to go."""
    body_after: float = 0.0
    """Seconds from the head of an answer to its body."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    """Further headers of its answers."""
    requests: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await _read_body(head, reader)
        except asyncio.IncompleteReadError:
            writer.close()
            return
        request_line = head.split(b"\r\n", 1)[0].decode()
        self.requests.append(request_line)
        self.heads.append(head.decode("latin-1"))
        if self.silent:
            await reader.read()
            writer.close()
            return
        body = b"" if request_line.startswith("HEAD") else self.name.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nX-Served-By: %s\r\nConnection: close\r\n" % self.name.encode())
        for name, value in self.headers.items():
            writer.write(b"%b: %b\r\n" % (name, value))
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body))
        await asyncio.sleep(self.body_after)
        writer.write(body)
        writer.close()


async def _read_body(head: bytes, reader: asyncio.StreamReader) -> None:
    """All of it; raises IncompleteReadError when it ends early."""
    if b"transfer-encoding: chunked" in head.lower():
        await reader.readuntil(b"0\r\n\r\n")
    elif length := re.search(rb"content-length: (\d+)", head.lower()):
        await reader.readexactly(int(length[1]))


@asynccontextmanager
async def stub_server(
    name: str, *, silent: bool = False, body_after: float = 0.0, headers: Mapping[bytes, bytes] | None = None
) -> AsyncIterator[StubServer]:
    """Start a stub on a free loopback port."""
    stub = StubServer(name, silent=silent, body_after=body_after, headers=headers or {})
    server = await asyncio.start_server(stub._answer, LOOPBACK, 0, limit=1 << 20)
    stub.address = f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield stub
