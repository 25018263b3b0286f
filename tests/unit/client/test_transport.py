"""Requests whose repetition would have a further effect, and what all requests have in common."""

import gzip
import time
from collections.abc import Iterator

import httpx2
import pytest

from darkroom import ApiError, UnreachableError
from darkroom import transport as transport_module
from darkroom.errors import NotTextError
from darkroom.transport import TRIES, Transport
from darkroom_contracts.routes import CANCEL_JOB, GET_JOB
from darkroom_contracts.routes.queues import RESUME_QUEUE
from tests.unit.client.answers import JOB_ID, KEY, Script, problem


def transport(script: Script) -> Transport:
    mocked = httpx2.MockTransport(script)
    return Transport("http://edge", KEY, timeout_seconds=30, transport=mocked, sleep=script.pauses.append)


def once(script: Script) -> bytes:
    return transport(script).execute(CANCEL_JOB, path={"id": JOB_ID}, once=True)


def busy(seconds: int) -> httpx2.Response:
    refusal = problem(429, "rate_limited", "Full.")
    refusal.headers["Retry-After"] = str(seconds)
    return refusal


@pytest.mark.parametrize("lost", [httpx2.ReadTimeout("slow"), httpx2.RemoteProtocolError("closed")])
def test_a_lost_response_is_not_asked_for_twice(lost: httpx2.TransportError) -> None:
    """A request that is sent once may have had its effect, and the error says so."""
    script = Script(lost)
    with pytest.raises(UnreachableError, match=r"was lost: \w+\. The request may have been carried out; look before"):
        once(script)
    assert (len(script.requests), script.pauses) == (1, [])


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_unknown_outcome_is_raised(status: int) -> None:
    """A request that is sent once is not repeated after a status that leaves its effect open."""
    with pytest.raises(ApiError, match="Away"):
        once(Script(problem(status, "unavailable", "Away.")))


@pytest.mark.parametrize(
    "refusal", [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow"), problem(429, "quota_exceeded", "Full.")]
)
def test_a_request_that_had_no_effect_is_repeated(refusal: httpx2.Response | httpx2.TransportError) -> None:
    """A request that is sent once is repeated where it certainly had no effect."""
    script = Script(refusal, httpx2.Response(204))
    assert once(script) == b""
    assert script.pauses == [0.5]


def test_pauses_grow_beside_what_the_server_asks_for() -> None:
    """Each pause is the longer one of the client's own, which doubles, and of Retry-After."""
    script = Script(busy(2), busy(2), busy(0), httpx2.Response(204))
    assert transport(script).execute(GET_JOB, path={"id": JOB_ID}) == b""
    assert script.pauses == [2.0, 2.0, 2.0]


def test_a_server_that_asks_for_a_long_pause_is_not_asked_again() -> None:
    """It raises the refusal at once, since an earlier try would be refused too."""
    script = Script(busy(31))
    with pytest.raises(ApiError, match="Full"):
        transport(script).execute(GET_JOB, path={"id": JOB_ID})
    assert script.pauses == []


def test_a_wrong_url_is_not_tried_again() -> None:
    """A scheme that no server has is an error at once."""
    script = Script(httpx2.UnsupportedProtocol("no scheme"))
    with pytest.raises(UnreachableError, match="can't be reached: no scheme"):
        once(script)
    assert script.pauses == []


@pytest.mark.parametrize(("model", "segment"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("tiny", "tiny"), ("gpu 3", "gpu%203")])
def test_a_parameter_of_the_path_stays_one_segment(model: str, segment: str) -> None:
    """A name with a slash or a question mark reaches no other route."""
    script = Script(httpx2.Response(204))
    transport(script).execute(RESUME_QUEUE, path={"model": model})
    assert script.requests[0].url.raw_path == f"/v1/operations/queues/{segment}/resume".encode()


def test_parameters_that_are_none_are_left_out() -> None:
    """The query has the parameters that were given, encoded."""
    script = Script(httpx2.Response(204), httpx2.Response(204))
    requests = transport(script)
    requests.execute(GET_JOB, path={"id": JOB_ID}, query={"limit": 2, "cursor": None, "event": "a&b"})
    requests.execute(GET_JOB, path={"id": JOB_ID}, query={"cursor": None})
    assert [request.url.query for request in script.requests] == [b"limit=2&event=a%26b", b""]


def test_a_body_is_json() -> None:
    """The body is encoded and typed; a request without one has neither."""
    script = Script(httpx2.Response(204), httpx2.Response(204))
    requests = transport(script)
    requests.execute(CANCEL_JOB, path={"id": JOB_ID}, body={"since": 1})
    requests.execute(CANCEL_JOB, path={"id": JOB_ID})
    assert [request.content for request in script.requests] == [b'{"since":1}', b""]
    assert [request.headers.get("Content-Type") for request in script.requests] == ["application/json", None]


def test_a_text_that_is_not_unicode_is_refused() -> None:
    """Bytes of a command line that are not UTF-8 arrive as lone surrogates, which JSON can't hold."""
    with pytest.raises(NotTextError, match="not UTF-8; enter it again"):
        transport(Script()).execute(CANCEL_JOB, path={"id": JOB_ID}, body={"prompt": "\udcff"})
    with pytest.raises(NotTextError, match="not UTF-8; enter it again"):
        transport(Script()).execute(CANCEL_JOB, path={"id": "\udcff"})
    with pytest.raises(NotTextError, match="not UTF-8; enter it again"):
        transport(Script()).execute(GET_JOB, path={"id": JOB_ID}, query={"model": "\udcff"})


def test_a_body_is_sent_with_every_try() -> None:
    """A repeated request is the same request."""
    script = Script(*[httpx2.ReadTimeout("slow")] * (TRIES - 1), httpx2.Response(204))
    transport(script).execute(CANCEL_JOB, path={"id": JOB_ID}, body={"since": 1})
    assert [request.content for request in script.requests] == [b'{"since":1}'] * TRIES


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://[::1", "Invalid port"),
        ("http://edge\n", "Invalid non-printable ASCII character in URL"),
        ("http://é..example", "Invalid IDNA hostname"),
    ],
)
def test_a_malformed_url_is_refused(url: str, reason: str) -> None:
    """No request is tried, and the error says what to check."""
    with pytest.raises(UnreachableError, match=rf"^No connection can be set up: {reason}.*\. Check the URL,"):
        Transport(url, KEY, timeout_seconds=30, transport=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "ftp://proxy"),
        ("HTTP_PROXY", "http://proxy:port"),
        ("ALL_PROXY", "socks4://proxy"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_an_unusable_environment_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A proxy or a certificate file that can't be used is an error of the client like any other."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UnreachableError, match=f"what the environment names: .*{name}"):
        Transport("http://edge", KEY, timeout_seconds=30, transport=None)


@pytest.mark.parametrize(("variable", "is_named"), [("HTTP_PROXY", True), ("NO_PROXY", False)])
def test_a_proxy_that_may_be_the_cause_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, is_named: bool) -> None:
    """The error is about the server's address, but it is the proxy that refused."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, "127.0.0.1" if variable == "NO_PROXY" else "http://127.0.0.1:1")
    requests = Transport("http://127.0.0.1:1", KEY, timeout_seconds=30, transport=None, sleep=lambda _: None)
    with pytest.raises(UnreachableError) as raised:
        requests.execute(GET_JOB, path={"id": JOB_ID})
    assert ("the proxy that the environment names" in str(raised.value)) is is_named


def test_no_error_shows_a_credential() -> None:
    """Neither the key, where it can't stand in a header, nor a password in the URL."""
    script = Script(httpx2.LocalProtocolError(f"Illegal header value b'Bearer {KEY} '"))
    mocked = httpx2.MockTransport(script)
    requests = Transport("http://user:word@edge", f"{KEY} ", timeout_seconds=30, transport=mocked, sleep=print)
    with pytest.raises(UnreachableError, match=r"^http://edge can't be reached: a header holds characters that"):
        requests.execute(GET_JOB, path={"id": JOB_ID})


def test_a_host_that_no_name_can_be_is_unreachable() -> None:
    """A label of a host name has 63 characters at most."""
    requests = Transport(f"http://{'a' * 64}.example", KEY, timeout_seconds=30, transport=None, sleep=print)
    with pytest.raises(UnreachableError, match="can't be reached"):
        requests.execute(GET_JOB, path={"id": JOB_ID})


def test_a_body_that_does_not_match_its_encoding_is_an_error() -> None:
    """It is not asked for again: it would be the same."""
    script = Script(httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=_Endless(b"hello")))
    with pytest.raises(UnreachableError, match="decompressing"):
        transport(script).execute(GET_JOB, path={"id": JOB_ID})


def test_an_encoded_body_is_decoded() -> None:
    """A server or a proxy may compress what it sends."""
    compressed = httpx2.ByteStream(gzip.compress(b"{}"))
    script = Script(httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=compressed))
    assert transport(script).execute(GET_JOB, path={"id": JOB_ID}) == b"{}"


def test_a_body_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No response takes more memory than the largest picture."""
    monkeypatch.setattr(transport_module, "LARGEST_BODY_BYTES", 1000)
    script = Script(httpx2.Response(200, stream=_Endless(b" " * 100)))
    with pytest.raises(UnreachableError, match="larger than 1,000 bytes"):
        transport(script).execute(GET_JOB, path={"id": JOB_ID})


def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte arrives within the timeout, and all of them never would."""
    script = Script(*(httpx2.Response(200, stream=_Endless(b" ")) for _ in range(TRIES)))
    elapsed = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: 10.0 * next(elapsed))
    with pytest.raises(UnreachableError, match="arrives too slowly"):
        transport(script).execute(GET_JOB, path={"id": JOB_ID})


class _Endless(httpx2.SyncByteStream):
    """A body that repeats a chunk without an end."""

    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self._chunk
