"""The bytes of a connection, for httpcore2."""

import asyncio
import socket
import ssl
from contextlib import suppress
from time import monotonic
from typing import Any, Self, TypeAlias

import httpcore2

BUFFER = 16 * 1024
"""Bytes read ahead, after which the operating system holds the receiver back."""


class _Protocol(asyncio.StreamReaderProtocol):
    """Counts what is received, so that bytes which nobody asked for are noticed."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


Opened: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter, _Protocol]


class Stream(httpcore2.AsyncNetworkStream):
    """A connected socket, plain or under TLS. The caller bounds the time of every call."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Protocol) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._read = 0
        self._unsent: list[bytes] = []
        self.first_byte_at: float | None = None
        """When the first byte was read since `expect_response`, by `time.monotonic`."""
        self.has_ended = False
        """Whether the receiver's end was read."""

    @classmethod
    async def open(
        cls, sock: socket.socket, ssl_context: ssl.SSLContext | None = None, hostname: str | None = None
    ) -> Self:
        """Take over a connected socket, with a TLS handshake if there is a context. Raises OSError."""
        opening = asyncio.ensure_future(_open(sock, ssl_context, hostname))
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            _abandon(opening, sock)
            raise
        except BaseException:
            sock.close()
            raise
        return cls(*opened)

    def expect_response(self) -> None:
        """Forget the previous response: the next byte is another one's first."""
        self.first_byte_at = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was written, then return some bytes, or none at the end. Raises httpcore2.ReadError."""
        await self._flush()
        try:
            data = await self._reader.read(max_bytes)
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error
        self._read += len(data)
        self.has_ended = not data
        if data and self.first_byte_at is None:
            self.first_byte_at = monotonic()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep the bytes until the response is awaited, so that head and body of a request are one segment."""
        self._unsent.append(buffer)

    async def _flush(self) -> None:
        """Send what was written. A receiver that closes before it reads all may have answered, which is read next."""
        if not self._unsent:
            return
        unsent, self._unsent = b"".join(self._unsent), []
        with suppress(OSError):
            self._writer.write(unsent)
            await self._writer.drain()

    def close(self) -> None:
        """Close at once. Nothing of value is in flight: a connection is closed after a response, or given up."""
        self._writer.transport.abort()

    async def aclose(self) -> None:
        """Close at once, for httpcore2."""
        self.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore2 asks for: whether an idle connection was closed by the receiver."""
        return self.is_closed if info == "is_readable" else None

    @property
    def is_closed(self) -> bool:
        """Whether the receiver closed the connection, or this side did."""
        return self._reader.at_eof() or self._reader.exception() is not None or self._writer.transport.is_closing()

    @property
    def has_unread(self) -> bool:
        """Whether bytes were received that were not read."""
        return self._protocol.received > self._read


async def _open(sock: socket.socket, ssl_context: ssl.SSLContext | None, hostname: str | None) -> Opened:
    """Do what `asyncio.open_connection` does, with a protocol that counts."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(BUFFER, loop)
    protocol = _Protocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=sock, ssl=ssl_context, server_hostname=hostname)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol


def _abandon(opening: asyncio.Future[Opened], sock: socket.socket) -> None:
    """End an `_open` that nobody waits for by ending its connection.

    It is not canceled itself: before its TLS handshake began, asyncio (Python 3.11.7) would leave its transport open,
    and the next connection that was given the same file descriptor would end in a RuntimeError.
    """
    with suppress(OSError):  # the connection has ended already
        sock.shutdown(socket.SHUT_RDWR)
    opening.add_done_callback(lambda _: _close(opening, sock))


def _close(opening: asyncio.Future[Opened], sock: socket.socket) -> None:
    if opening.cancelled() or opening.exception() is not None:
        sock.close()
    else:
        opening.result()[1].transport.abort()
