"""Receivers that misbehave, on real sockets: each ends in an outcome in time, and memory stays flat."""

import asyncio
import gc
import tracemalloc

import pytest

from tests.support.webhook_misbehaviour import BOMB, CHUNKED, ENDLESS, FAILURES, GZIP_BOMB, HEAD
from tests.support.webhook_receivers import (
    OK,
    Behaviour,
    answering,
    healthy,
    receiving,
    sending,
)
from webhooks.sending.connection import MAX_BODY, MAX_INFORMATIONAL, MAX_PIECES
from webhooks.sending.outcome import Failure, FailureKind, Outcome, Response

SHORT = 0.5
PATIENCE = 10.0


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


@pytest.mark.parametrize("case", ENDLESS)
async def test_an_endless_body_is_cut(case: str) -> None:
    """The first 16 kB are kept, then the connection is closed, long before the time is over."""
    response = await send(ENDLESS[case])
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


async def test_a_long_head_is_refused_although_it_is_complete() -> None:
    """Parsing thousands of headers takes a time in which nothing else is sent."""
    failure = await send(answering(HEAD + b"a: b\r\n" * 5_000 + b"content-length: 0\r\n\r\n"))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.PROTOCOL


async def test_informational_responses_are_counted_for_each_request() -> None:
    """A connection stays in use although every response on it follows some."""
    answer = b"HTTP/1.1 103 Early\r\n\r\n" * MAX_INFORMATIONAL + OK
    async with receiving(answering(*[answer] * 3)) as receiver, sending() as sender:
        for _ in range(3):
            assert isinstance(await sender.send(receiver.target(), {}, b"{}"), Response)
        assert receiver.accepted == 1


async def test_a_gzip_bomb_stays_packed() -> None:
    """A compressed body is kept as it came."""
    response = await send(answering(GZIP_BOMB))
    assert isinstance(response, Response)
    assert response.body == BOMB[:MAX_BODY]


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
        (HEAD + b"retry-after: " + b"9" * 10_000 + b"\r\ncontent-length: 0\r\n\r\n", 200),
    ],
)
async def test_rare_responses_are_responses(answer: bytes, status: int) -> None:
    """What HTTP/1.1 allows is a response, and what is kept of it is bounded."""
    response = await send(answering(answer))
    assert isinstance(response, Response)
    assert response.status == status
    assert all(len(value) <= 1_000 for value in response.headers.values())


REPEATED = ("closes within a chunk", "resets within the body", "floods headers", "floods a header", "sends zeros")


@pytest.mark.parametrize("case", [*REPEATED, *ENDLESS])
async def test_memory_stays_flat(case: str) -> None:
    """Fifty requests leave no more behind than ten did."""
    behaviour = ENDLESS.get(case) or FAILURES[case].behaviour
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
