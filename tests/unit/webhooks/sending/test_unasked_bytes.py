"""Receivers that send more than their response: none of it is taken for the response to another request."""

import asyncio

import pytest

from tests.support.webhook_receivers import OK, Behaviour, healthy, read_request, receiving, sending
from webhooks.sending.outcome import Response

NO = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def _once(*pieces: bytes, ends: bool) -> Behaviour:
    """Answer a connection's first request with pieces, those after the first unasked, and every later one with 500."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        while not ends:
            await read_request(reader)
            writer.write(NO)

    return behave


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (_once(OK + OK, ends=False), 200),
        (_once(OK, OK, ends=False), 200),
        (_once(b"HTTP/1.1 204 None\r\ncontent-length: 2\r\n\r\nok", ends=False), 204),
        (_once(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\n", ends=False), 200),
        (_once(OK, BUSY, ends=True), 200),
    ],
    ids=["twice", "twice, the second later", "a body where none is", "a length too short", "a timeout, then the end"],
)
async def test_a_connection_with_unasked_bytes_is_not_used_again(behaviour: Behaviour, status: int) -> None:
    """Each request has a connection, and therefore the response, of its own."""
    async with receiving(behaviour) as receiver, receiving(healthy) as other, sending() as sender:
        for number in range(1, 4):
            outcome = await sender.send(receiver.target(), {}, b"{}")
            assert isinstance(outcome, Response), outcome
            assert (outcome.status, receiver.accepted) == (status, number)
            for _ in range(5):  # what was sent has arrived by then
                await sender.send(other.target(), {}, b"{}")
        assert other.accepted == 1
