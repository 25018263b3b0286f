"""Receivers of webhooks in the benchmark's process: cheap ones, and ones that accept and never answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Arrivals:
    """What arrived, by the number at the end of each request's path."""

    def __init__(self) -> None:
        self.requests = 0
        """All requests, repeated ones included."""
        self.times: dict[int, float] = {}
        """When the first request of each number was complete, by `time.time`."""
        self.hanging = 0
        """Connections to a receiver that never answers, on which a request waits."""
        self.most_hanging = 0

    def note(self, path: bytes) -> None:
        """Count a request."""
        self.requests += 1
        self.times.setdefault(int(path.rpartition(b"/")[2]), time.time())

    def hang(self) -> None:
        """Count a connection that hangs from now on."""
        self.hanging += 1
        self.most_hanging = max(self.most_hanging, self.hanging)


class Answering(asyncio.Protocol):
    """Answers every request with 204 once it is complete."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(_END)) >= 0:
            length = head + len(_END) + content_length(bytes(self._buffer[:head]))
            if len(self._buffer) < length:
                return
            self._arrivals.note(bytes(self._buffer[: self._buffer.index(b" HTTP/")]))
            del self._buffer[:length]
            self._transport.write(RESPONSE)


class Hanging(asyncio.Protocol):
    """Reads and never answers."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._hangs = False

    def data_received(self, data: bytes) -> None:
        if not self._hangs:
            self._hangs = True
            self._arrivals.hang()

    def connection_lost(self, error: Exception | None) -> None:
        self._arrivals.hanging -= self._hangs


class Receivers:
    """The URLs of the receivers, and what arrived."""

    def __init__(self, arrivals: Arrivals, urls: list[str], hung_port: int) -> None:
        self.arrivals = arrivals
        self.urls = urls
        """Of receivers that answer, each an origin of its own. A number is to follow."""
        self._hung_port = hung_port

    def hung_urls(self, count: int) -> list[str]:
        """Return URLs of receivers that never answer, each an origin of its own: an address of the loopback's."""
        return [f"http://127.1.{n // 250}.{n % 250 + 1}:{self._hung_port}/hook" for n in range(count)]


@asynccontextmanager
async def open_receivers(origins: int) -> AsyncIterator[Receivers]:
    """Listen on a port for each origin that answers, and on one port of all addresses to hang."""
    loop = asyncio.get_running_loop()
    arrivals = Arrivals()
    answering = [await loop.create_server(lambda: Answering(arrivals), "127.0.0.1", 0) for _ in range(origins)]
    hanging = await loop.create_server(lambda: Hanging(arrivals), "0.0.0.0", 0, backlog=2_048)
    ports = [server.sockets[0].getsockname()[1] for server in (*answering, hanging)]
    try:
        yield Receivers(arrivals, [f"http://127.0.0.1:{port}/hook/" for port in ports[:-1]], ports[-1])
    finally:
        for server in (*answering, hanging):
            server.close()


def content_length(head: bytes) -> int:
    """Return the length of the body that follows a request's head."""
    lines = (line for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH))
    return int(next(lines)[len(_LENGTH) :])
