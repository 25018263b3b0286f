"""Receivers on real sockets, how they behave, and a sender for them."""

import asyncio
import itertools
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

from chassis.targets import Policy, Target, parse_target
from webhooks.sending.sender import Sender

LOOPBACK = Policy.of(["127.0.0.1"])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Behaviour: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A server that treats every connection in the same way."""

    def __init__(self, behave: Behaviour) -> None:
        self.port = 0
        self.accepted = 0
        self._behave = behave
        self._connections: set[asyncio.Task[None]] = set()

    def target(self, path: str = "/hook", *, host: str = "127.0.0.1", policy: Policy = LOOPBACK) -> Target:
        """Return the target of a path here, over plain http."""
        return parse_target(f"http://{host}:{self.port}{path}", policy)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat a connection, then close it."""
        self.accepted += 1
        task = asyncio.ensure_future(self._behave(reader, writer))
        self._connections.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await task
        self._connections.discard(task)
        writer.close()

    async def hang_up(self) -> None:
        """End all connections."""
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


@asynccontextmanager
async def receiving(
    behave: Behaviour, *, host: str = "127.0.0.1", port: int = 0, secure: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(behave)
    server = await asyncio.start_server(receiver.serve, host, port, ssl=secure, backlog=2_048)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.hang_up()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the head of a request. Raises IncompleteReadError at the end of the connection."""
    return await reader.readuntil(b"\r\n\r\n")


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Return a whole request. Raises IncompleteReadError at the end of the connection."""
    head = await read_head(reader)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return head + await reader.readexactly(length)


def answering(*answers: bytes) -> Behaviour:
    """Answer the requests of a connection with these bytes in turn, then close it."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()

    return behave


async def healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with 200, and keep the connection."""
    while True:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, read and never answer."""
    await reader.read()
    await asyncio.Event().wait()


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Behaviour:
    """Answer with a head, then with the same piece again and again."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        for _ in itertools.count():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return behave


def resetting(answer: bytes) -> Behaviour:
    """Answer with a beginning, then reset the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def sending(policy: Policy = LOOPBACK, **options: Any) -> Sender:
    """Return a sender that trusts no authority, so that none is loaded."""
    return Sender(policy, ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options)


_connects: list[list[Any]] = []


def _record_connect(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _connects:
        _connects[-1].append(arguments[1])


sys.addaudithook(_record_connect)


@contextmanager
def recorded_connects() -> Iterator[list[Any]]:
    """Record the address of every `connect` on a socket in this process, by Python's audit events."""
    record: list[Any] = []
    _connects.append(record)
    try:
        yield record
    finally:
        _connects.remove(record)


def found(*addresses: str) -> list[Any]:
    """Return what `getaddrinfo` returns for these addresses."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
        for address in addresses
    ]
