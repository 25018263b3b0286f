"""Receivers that misbehave, on real sockets: each ends in an outcome in time, and memory stays flat."""

import asyncio
import gc
import gzip
import tracemalloc
from typing import NamedTuple

import pytest

from tests.support.webhook_receivers import (
    OK,
    Behaviour,
    answering,
    endless,
    healthy,
    receiving,
    resetting,
    sending,
    silent,
)
from webhooks.sending.connection import MAX_BODY, MAX_INFORMATIONAL, MAX_PIECES
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Response

SHORT = 0.5
PATIENCE = 10.0
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


class Misbehaviour(NamedTuple):
    """A receiver's behaviour, and the failure it leads to, or a word of its sentence."""

    behaviour: Behaviour
    kind: FailureKind
    word: str


def _waiting(behaviour: Behaviour, stage: str) -> Misbehaviour:
    return Misbehaviour(behaviour, FailureKind.TIMEOUT, stage)


def _garbage(answer: bytes) -> Misbehaviour:
    return Misbehaviour(answering(answer), FailureKind.PROTOCOL, "not valid HTTP/1.1")


def _broken(behaviour: Behaviour) -> Misbehaviour:
    return Misbehaviour(behaviour, FailureKind.RESET, "closed the connection")


FAILURES = {
    "never answers": _waiting(silent, "response was awaited"),
    "drips a head": _waiting(endless(HEAD, b"a: b\r\n", 0.02), "response was awaited"),
    "drips a status line": _waiting(endless(b"", b"H", 0.02), "response was awaited"),
    "drips a body": _waiting(endless(HEAD + b"content-length: 999\r\n\r\n", b"x", 0.02), "body"),
    "drips a chunked body": _waiting(endless(CHUNKED, b"1\r\nx\r\n", 0.02), "body"),
    "informs for all time": Misbehaviour(endless(b"", b"HTTP/1.1 103 Early\r\n\r\n"), FailureKind.PROTOCOL, "1xx"),
    "closes without a response": _broken(answering(b"")),
    "closes within the head": _broken(answering(HEAD + b"content-le")),
    "closes within the body": _broken(answering(HEAD + b"content-length: 9\r\n\r\nab")),
    "closes within a chunk": _broken(answering(CHUNKED + b"9\r\nab")),
    "resets without a response": _broken(resetting(b"")),
    "resets within the head": _broken(resetting(HEAD)),
    "resets within the body": _broken(resetting(HEAD + b"content-length: 9\r\n\r\nab")),
    "floods headers": Misbehaviour(endless(HEAD, b"a: bbbbbbbbbbbbbbbb\r\n" * 50), FailureKind.PROTOCOL, "32 kB"),
    "floods a header": Misbehaviour(endless(HEAD + b"a: ", b"b" * 4096), FailureKind.PROTOCOL, "32 kB"),
    "floods the status line": Misbehaviour(endless(b"HTTP/1.1 200 ", b"b" * 4096), FailureKind.PROTOCOL, "32 kB"),
    "floods a chunk's head": Misbehaviour(endless(CHUNKED, b"f" * 4096), FailureKind.PROTOCOL, "not valid"),
    "speaks SSH": _garbage(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "speaks SMTP": _garbage(b"220 mail.example ESMTP\r\n\r\n"),
    "speaks HTTP/0.9": _garbage(b"<html>hello</html>\r\n\r\n"),
    "speaks HTTP/2": _garbage(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18) + b"\r\n\r\n"),
    "sends a TLS alert": _garbage(b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n"),
    "sends zeros": _garbage(bytes(4_000) + b"\r\n\r\n"),
    "sends a status of words": _garbage(b"HTTP/1.1 okay fine\r\n\r\n"),
    "sends a status of four digits": _garbage(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "sends a header without a colon": _garbage(HEAD + b"nonsense\r\n\r\n"),
    "sends a header with NUL": _garbage(HEAD + b"a: \x00\r\n\r\n"),
    "sends a negative length": _garbage(HEAD + b"content-length: -1\r\n\r\n"),
    "sends two lengths": _garbage(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
    "sends a huge length": _garbage(HEAD + b"content-length: " + b"9" * 40 + b"\r\n\r\n"),
    "sends an unknown coding": _garbage(HEAD + b"transfer-encoding: gzip\r\n\r\nab"),
    "switches protocols": _garbage(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "sends a chunk without a size": _garbage(CHUNKED + b"zz\r\nab\r\n"),
}


async def send(behaviour: Behaviour, seconds: float = PATIENCE) -> Outcome:
    """Return the outcome of one request."""
    async with receiving(behaviour) as receiver, sending(seconds=seconds) as sender:
        return await sender.send(receiver.target(), {}, b"{}")


@pytest.mark.parametrize("case", FAILURES)
async def test_it_fails_in_time_and_says_why(case: str) -> None:
    """The failure has a kind and a sentence that names the host, and quotes nothing that was received."""
    behaviour, kind, word = FAILURES[case]
    seconds = SHORT if kind is FailureKind.TIMEOUT else PATIENCE
    failure = await send(behaviour, seconds)
    assert isinstance(failure, Failure), failure
    assert failure.kind is kind, failure
    assert "127.0.0.1" in failure.sentence
    assert word in failure.sentence
    assert failure.timings.total < seconds + 2
    assert (failure.timings.total >= seconds) == (kind is FailureKind.TIMEOUT)


@pytest.mark.parametrize(
    "behaviour",
    [
        endless(HEAD + b"content-length: 99999999999\r\n\r\n", b"x" * 4096),
        endless(HEAD + b"connection: close\r\n\r\n", b"x" * 4096),
        endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    ],
    ids=["a length", "until the end", "chunked"],
)
async def test_an_endless_body_is_cut(behaviour: Behaviour) -> None:
    """The first 16 kB are kept, then the connection is closed, long before the time is over."""
    response = await send(behaviour)
    assert isinstance(response, Response)
    assert (response.status, response.body, response.truncated) == (200, b"x" * MAX_BODY, True)
    assert response.timings.total < PATIENCE


@pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY - 1, False), (MAX_BODY, False), (MAX_BODY + 1, True)])
async def test_the_bound_of_a_body_is_exact(size: int, truncated: bool) -> None:
    """A body of just 16 kB is whole."""
    response = await send(answering(HEAD + f"content-length: {size}\r\n\r\n".encode() + b"x" * size))
    assert isinstance(response, Response)
    assert (len(response.body), response.truncated) == (min(size, MAX_BODY), truncated)


@pytest.mark.parametrize(("pieces", "truncated"), [(MAX_PIECES, False), (MAX_PIECES + 1, True)])
async def test_a_body_of_many_small_pieces_is_cut(pieces: int, truncated: bool) -> None:
    """Bytes that come singly cost the dispatcher as much time as thousands do, and other deliveries wait for it."""
    response = await send(answering(CHUNKED + b"1\r\nx\r\n" * pieces + b"0\r\n\r\n"))
    assert isinstance(response, Response)
    assert (response.body, response.truncated) == (b"x" * MAX_PIECES, truncated)


async def test_informational_responses_are_counted_for_each_request() -> None:
    """A connection stays in use although every response on it follows some."""
    answer = b"HTTP/1.1 103 Early\r\n\r\n" * MAX_INFORMATIONAL + OK
    async with receiving(answering(*[answer] * 3)) as receiver, sending() as sender:
        for _ in range(3):
            assert isinstance(await sender.send(receiver.target(), {}, b"{}"), Response)
        assert receiver.accepted == 1


async def test_a_gzip_bomb_stays_packed() -> None:
    """A compressed body is kept as it came."""
    bomb = gzip.compress(bytes(10_000_000))
    head = HEAD + f"content-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    response = await send(answering(head + bomb))
    assert isinstance(response, Response)
    assert response.body == bomb[:MAX_BODY]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """A redirect, to itself or elsewhere, is a response like others."""
    async with receiving(healthy) as elsewhere:
        location = f"http://127.0.0.1:{elsewhere.port}/"
        answer = f"HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
        response = await send(answering(answer, answer))
        assert isinstance(response, Response)
        assert (response.status, response.headers) == (status, {"location": location})
        assert elsewhere.accepted == 0


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 204 None\r\n\r\n", 204),
        (b"HTTP/1.1 304 Same\r\n\r\n", 304),
        (b"HTTP/1.0 200 OK\r\n\r\nok", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200),
        (b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", 999),
        (HEAD + b"retry-after: " + b"9" * 20_000 + b"\r\ncontent-length: 0\r\n\r\n", 200),
    ],
)
async def test_rare_responses_are_responses(answer: bytes, status: int) -> None:
    """What HTTP/1.1 allows is a response, and what is kept of it is bounded."""
    response = await send(answering(answer))
    assert isinstance(response, Response)
    assert response.status == status
    assert all(len(value) <= 1_000 for value in response.headers.values())


REPEATED = ("closes within a chunk", "resets within the body", "floods headers", "floods a header", "sends zeros")


@pytest.mark.parametrize("case", [*REPEATED, "endless"])
async def test_memory_stays_flat(case: str) -> None:
    """Fifty requests leave no more behind than ten did."""
    behaviour = endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n") if case == "endless" else FAILURES[case][0]
    async with receiving(behaviour) as receiver, sending(seconds=5) as sender:

        async def send_many(count: int) -> int:
            for _ in range(count):
                outcome = await sender.send(receiver.target(), {}, b"{}")
                assert outcome.timings.total < 5
            await asyncio.sleep(0)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = await send_many(10)
            after = await send_many(40)
        finally:
            tracemalloc.stop()
    assert after - before < 100_000
