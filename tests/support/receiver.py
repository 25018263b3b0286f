"""A receiver of webhooks on a socket, which answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.webhooks.signing import ID_HEADER
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def delivery_id(self) -> UUID:
        return UUID(self.headers[ID_HEADER])

    @property
    def event(self) -> dict[str, Any]:
        content: dict[str, Any] = msgspec.json.decode(self.body)
        return content


@dataclass(frozen=True)
class Answer:
    """What the receiver answers; headers as they stand in a response."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Behaviour = Callable[[Received], Awaitable[Answer]]


async def accept(request: Received) -> Answer:
    """Answer 204."""
    return Answer()


def always(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Return a behaviour that gives one answer; `retry_after` names the header Retry-After."""

    async def answer(request: Received) -> Answer:
        return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    return answer


class Receiver:
    """Keeps every request that arrived whole, before it answers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.behave: Behaviour = accept
        self.requests: list[Received] = []
        self.answering = 0
        """Requests that arrived and have no answer yet."""

    @property
    def delivery_ids(self) -> list[UUID]:
        """Of all requests, in the order of their arrival."""
        return [request.delivery_id for request in self.requests]

    async def received(self, count: int, seconds: float = 15) -> list[Received]:
        """Wait until `count` requests have arrived, and return all."""
        await eventually(lambda: len(self.requests) >= count, seconds=seconds, what=f"{count} webhooks at {self.url}")
        return list(self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until it ends."""
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                self.answering += 1
                try:
                    answer = await self.behave(request)
                finally:
                    self.answering -= 1
                writer.write(_response(answer))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Listen on a free port of the loopback. On exit every connection is closed."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:  # the receiver closes
            writer.transport.abort()
        finally:
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    receiver = Receiver(server.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split(" ")[1], headers, body)


def _response(answer: Answer) -> bytes:
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body
