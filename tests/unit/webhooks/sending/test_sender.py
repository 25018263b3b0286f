"""Sending to receivers that behave, and keeping their connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from tests.support.webhook_receivers import (
    OK,
    answering,
    healthy,
    read_request,
    receiving,
    resetting,
    sending,
)
from webhooks.sending.outcome import Failure, FailureKind, Response
from webhooks.sending.sender import Sender

BODY = b'{"type": "job.succeeded"}'


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with sending() as sender:
        yield sender


async def test_the_response_is_returned(sender: Sender) -> None:
    """A response has its status, the headers that matter, its body and the timings."""
    answer = b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\nbusy"
    async with receiving(answering(answer)) as receiver:
        response = await sender.send(receiver.target(), {}, BODY)
    assert isinstance(response, Response)
    assert (response.status, response.headers) == (503, {"retry-after": "7"})
    assert (response.body, response.truncated) == (b"busy", False)
    timings = response.timings
    assert (timings.dns, timings.tls) == (None, None)
    assert timings.connect is not None
    assert timings.first_byte is not None
    assert 0 < timings.connect + timings.first_byte <= timings.total < 15


async def test_the_request_is_what_was_given(sender: Sender) -> None:
    """The body arrives byte for byte, with the given headers; those of the sender can't be replaced."""
    requests = []

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(OK)

    given = {"webhook-id": "msg_1", "Content-Type": "application/json", "X-Name": "a b"}
    framing = {"Host": "evil.test", "Content-Length": "1", "Connection": "close", "Transfer-Encoding": "chunked"}
    async with receiving(behave) as receiver:
        await sender.send(receiver.target("/a%20b?c=d"), given | framing, BODY)
        head, _, body = requests[0].partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [
            b"POST /a%20b?c=d HTTP/1.1",
            f"host: 127.0.0.1:{receiver.port}".encode(),
            b"user-agent: Darkroom",
            b"webhook-id: msg_1",
            b"content-type: application/json",
            b"x-name: a b",
            f"content-length: {len(BODY)}".encode(),
            b"accept-encoding: identity",
        ]
        assert body == BODY


async def test_a_connection_is_used_again(sender: Sender) -> None:
    """The second request needs no new connection, and has no timing for one."""
    async with receiving(healthy) as receiver:
        outcomes = [await sender.send(receiver.target(), {}, BODY) for _ in range(3)]
        assert receiver.accepted == 1
    assert [isinstance(outcome, Response) for outcome in outcomes] == [True] * 3
    assert [outcome.timings.connect is None for outcome in outcomes] == [False, True, True]


async def test_a_connection_that_the_receiver_closed_is_replaced(sender: Sender) -> None:
    """A receiver may close an idle connection at any time: before the next request, or when it arrives."""
    async with receiving(answering(OK)) as receiver:
        for _ in range(3):
            assert isinstance(await sender.send(receiver.target(), {}, BODY), Response)
        assert receiver.accepted == 3


async def test_a_response_before_the_request_is_read_is_the_response(sender: Sender) -> None:
    """A receiver may refuse a request without reading it, and close."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.write_eof()
        await reader.read()

    async with receiving(refuse) as receiver:
        outcome = await sender.send(receiver.target(), {}, bytes(20_000))
    assert isinstance(outcome, Response)
    assert outcome.status == 413


async def test_a_connection_that_breaks_at_the_next_request_is_replaced(sender: Sender) -> None:
    """A request that meets a connection just being closed is sent once more, on a fresh one."""
    second = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        if not second.is_set():
            await read_request(reader)
            second.set()
            writer.transport.abort()

    async with receiving(behave) as receiver:
        for _ in range(2):
            assert isinstance(await sender.send(receiver.target(), {}, BODY), Response)
        assert second.is_set()
        assert receiver.accepted == 2


async def test_a_fresh_connection_that_breaks_is_not_replaced(sender: Sender) -> None:
    """A reset on a fresh connection is the outcome of the attempt."""
    async with receiving(resetting(b"")) as receiver:
        outcome = await sender.send(receiver.target(), {}, BODY)
        assert receiver.accepted == 1
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.RESET


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that other clients read for a proxy change nothing."""
    async with receiving(healthy) as proxy, receiving(healthy) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with sending() as sender:
            assert isinstance(await sender.send(receiver.target(), {}, BODY), Response)
        assert (proxy.accepted, receiver.accepted) == (0, 1)


def test_the_loop_of_the_services_gives_the_same() -> None:
    """Services run on uvloop; sending does not depend on the kind of loop."""

    async def send_twice() -> list[bool]:
        async with receiving(healthy) as receiver, sending() as sender:
            outcomes = [await sender.send(receiver.target(), {}, BODY) for _ in range(2)]
            assert receiver.accepted == 1
            return [isinstance(outcome, Response) for outcome in outcomes]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(send_twice()) == [True, True]
