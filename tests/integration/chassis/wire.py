"""A TCP proxy that a test may freeze or cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from darkroom_local.ports import LOOPBACK


class Wire:
    """A proxy of TCP connections to a server."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0

    @property
    def url(self) -> str:
        """The URL of the server through the proxy."""
        credentials = self._server.netloc.rpartition("@")[0]
        return urlunsplit(self._server._replace(netloc=f"{credentials}@{LOOPBACK}:{self.port}"))

    def freeze(self) -> None:
        """Accept bytes without forwarding them, as behind a dead router."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward the held bytes, and all that follow."""
        self._flowing.set()

    def cut(self) -> None:
        """Abort all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers += [writer, onward_writer]
        self._tasks += [
            asyncio.create_task(self._pass_on(reader, onward_writer)),
            asyncio.create_task(self._pass_on(onward_reader, writer)),
        ]

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                await self._flowing.wait()
                writer.write(chunk)
        except ConnectionError:
            return
        finally:
            writer.close()

    def end(self) -> None:
        self.cut()
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def wire_to(server_url: str) -> AsyncIterator[Wire]:
    wire = Wire(server_url)
    server = await asyncio.start_server(wire.connect, LOOPBACK)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.end()
