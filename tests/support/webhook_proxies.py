"""A proxy that opens tunnels by CONNECT, on real sockets, and ways to misbehave as one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.support.webhook_receivers import Behaviour, read_head, receiving
from webhooks.egress import Proxy, choose_proxy

CREDENTIALS = "darkroom:pa55%3Aw0rd@"
AUTHORIZATION = "Basic ZGFya3Jvb206cGE1NTp3MHJk"  # darkroom:pa55:w0rd
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class ConnectProxy:
    """Resolves the names that it knows, refuses all others, and passes bytes both ways."""

    def __init__(self, addresses: Mapping[str, str], *, authorization: str | None = None) -> None:
        self.heads: list[bytes] = []
        """The heads of all requests."""
        self._addresses = addresses
        self._authorization = authorization

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        self.heads.append(head)
        method, authority, _ = head.split(b"\r\n")[0].decode().split(" ")
        host, _, port = authority.rpartition(":")
        if self._authorization is not None and f"proxy-authorization: {self._authorization}".encode() not in head:
            await _refuse(writer, "407 Proxy Authentication Required")
        elif method != "CONNECT" or host not in self._addresses:
            await _refuse(writer, "403 Forbidden")
        else:
            await self._tunnel(reader, writer, self._addresses[host], int(port))

    async def _tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int
    ) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(address, port)
        except OSError:
            await _refuse(writer, "502 Bad Gateway")
            return
        writer.write(ESTABLISHED)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, there_writer))
                both.create_task(_pass(there_reader, writer))
        finally:
            there_writer.close()


async def _refuse(writer: asyncio.StreamWriter, status: str) -> None:
    page = b"<html>no</html>"
    writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(page)}\r\n\r\n".encode() + page)
    await writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def proxying(behaviour: Behaviour, *, credentials: str = "") -> AsyncIterator[Proxy]:
    """Run a proxy that treats every connection in this way, and yield what a sender needs to use it."""
    async with receiving(behaviour) as server:
        proxy = choose_proxy(f"http://{credentials}127.0.0.1:{server.port}", checks_addresses=True)
        assert proxy is not None
        yield proxy


def answering_connect(*pieces: bytes, hangs: bool = False) -> Behaviour:
    """Answer CONNECT with these bytes, then close the connection, or keep it open and silent."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hangs:
            await reader.read()

    return behave
