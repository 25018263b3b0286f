"""Requests whose repetition would have a further effect, and what all requests have in common."""

import httpx2
import pytest

from darkroom import ApiError, UnreachableError
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


def test_a_body_is_sent_with_every_try() -> None:
    """A repeated request is the same request."""
    script = Script(*[httpx2.ReadTimeout("slow")] * (TRIES - 1), httpx2.Response(204))
    transport(script).execute(CANCEL_JOB, path={"id": JOB_ID}, body={"since": 1})
    assert [request.content for request in script.requests] == [b'{"since":1}'] * TRIES
