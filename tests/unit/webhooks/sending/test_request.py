"""The request at the receiver's socket: one POST, framed by the sender alone, whatever headers are given."""

import asyncio

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.webhook_receivers import OK, receiving, recorded_connects, sending
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Response
from webhooks.sending.request import DROPPED_HEADERS

BODY = b'{"type": "job.succeeded"}'
OWN = ("host", "content-length", "accept-encoding")
SMUGGLED = "1\r\n\r\nPOST /admin HTTP/1.1\r\nhost: internal\r\n"

NAMES = st.one_of(
    st.sampled_from([*OWN, *DROPPED_HEADERS, "user-agent", "x-a", "webhook-id", "authorization"]).flatmap(
        lambda name: st.sampled_from(
            [name, name.upper(), name.title(), f"{name} ", f" {name}", f"{name}\t", f"{name}:"]
        )
    ),
    st.text(max_size=8),
    st.text(alphabet="abcXYZ-_0123", min_size=1, max_size=8),
)
VALUES = st.one_of(
    st.sampled_from(["chunked", "close", "0", "99999", "100-continue", "a\r\nx: y", "a\nx: y", "a\rx: y", SMUGGLED]),
    st.text(max_size=12),
    st.text(alphabet="abc ,;=\t", max_size=12),
)


async def deliver(headers: dict[str, str]) -> tuple[Outcome, bytes | None]:
    """Return the outcome, and all bytes that the receiver got; None if nobody connected."""
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        received.set_result(await reader.read())

    async with receiving(behave) as receiver:
        with recorded_connects() as connects:
            async with sending(seconds=5) as sender:
                outcome = await sender.send(receiver.target("/hook?a=b"), headers, BODY)
        return outcome, await asyncio.wait_for(received, 5) if connects else None


class Received:
    """What an HTTP parser in C, which the sender does not use, reads from the bytes of a connection."""

    def __init__(self, data: bytes) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[str, str]] = []
        self.messages = 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method = self._parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode(), value.decode()))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_begin(self) -> None:
        self.messages += 1


@given(st.dictionaries(NAMES, VALUES, max_size=4))
async def test_no_header_changes_the_framing(headers: dict[str, str]) -> None:
    """Either nothing is sent, or exactly one request, with the sender's own headers once and the given ones beside."""
    outcome, received = await deliver(headers)
    if isinstance(outcome, Failure):
        assert (outcome.kind, received) == (FailureKind.PROTOCOL, None)
        return
    assert received is not None
    request = Received(received)
    assert (request.method, request.url, request.body, request.messages) == (b"POST", b"/hook?a=b", BODY, 1)
    values = dict(request.headers)
    assert len(values) == len(request.headers)
    assert values.pop("content-length") == str(len(BODY))
    assert values.pop("accept-encoding") == "identity"
    assert values.pop("host").startswith("127.0.0.1:")
    assert not values.keys() & DROPPED_HEADERS
    expected = {name.lower(): value for name, value in headers.items()}
    assert values == {"user-agent": "Darkroom"} | {
        name: value for name, value in expected.items() if name not in DROPPED_HEADERS and name not in OWN
    }


@pytest.mark.parametrize(
    "header",
    [("a\nb", "c"), ("a", "b\r\nc: d"), ("a", "b\nc"), ("a", "b\rc"), ("ä", "b"), ("a b", "c"), ("a:", "b"), ("", "b"),
     ("a", "\x00"), ("a", "\x7f"), ("a", "Käthe"), ("a", "\u0100"), ("a", "\u010a"), ("a", "\ud800"), ("a", " b"),
     ("a", "b\t"), ("a\x00", "b")],
)  # fmt: skip
async def test_a_malformed_header_is_a_failure(header: tuple[str, str]) -> None:
    """Line breaks, control characters and what is not ASCII are refused before anything is dialed."""
    outcome, received = await deliver(dict([header]))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, received) == (FailureKind.PROTOCOL, None)
    assert outcome.sentence.startswith("A header of the request is malformed")


@pytest.mark.parametrize("name", sorted({*OWN, *DROPPED_HEADERS}))
async def test_a_header_of_the_connection_is_not_the_callers(name: str) -> None:
    """Whatever its spelling, it is left out, or the sender's own is sent."""
    outcome, received = await deliver({name.title(): "evil", "x-a": "b"})
    assert isinstance(outcome, Response)
    assert received is not None
    assert b"evil" not in received
    assert b"\r\nx-a: b\r\n" in received
