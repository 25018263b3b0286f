import httpx2
import msgspec
import pytest
from msgspec.structs import replace

from darkroom import ApiError, BrokenDownloadError, StillRunningError, UnreachableError
from darkroom.client import LONGEST_POLL_SECONDS
from darkroom.transport import TRIES
from darkroom_contracts.api import CancelReply, JobRequest
from darkroom_contracts.states import JobStatus
from tests.unit.client.answers import JOB_ID, KEY, PICTURE, Script, job, output, problem, reply, running


def test_a_submission_carries_its_fields() -> None:
    """A submission sends its fields, its key and an Idempotency-Key, and returns the accepted job."""
    script = Script(reply(job(), 202))
    accepted = script.client().submit("a lighthouse", width=128, seed=7, metadata={"for": "Ada"})
    [request] = script.requests
    sent = msgspec.json.decode(request.content, type=JobRequest)
    assert (sent.input.prompt, sent.input.width, sent.input.seed, sent.input.height) == ("a lighthouse", 128, 7, None)
    assert (sent.metadata, sent.model) == ({"for": "Ada"}, None)
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert len(request.headers["Idempotency-Key"]) == 32
    assert accepted.id == JOB_ID


def test_a_lost_submission_is_sent_again_with_the_same_key() -> None:
    """After a lost connection, or a response that asks for a retry, the submission is repeated under the same key."""
    again = problem(503, "unavailable", "Away.")
    again.headers["Retry-After"] = "5"
    script = Script(httpx2.ReadTimeout("slow"), again, reply(job(), 202))
    script.client().submit("a lighthouse")
    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 1
    assert script.pauses == [0.5, 5.0]


def test_an_unreachable_api_is_named() -> None:
    """When no try reaches the API, the error names its URL, the reason and what to check."""
    script = Script(*[httpx2.ConnectError("connection refused")] * TRIES)
    with pytest.raises(UnreachableError, match=r"http://edge can't be reached: connection refused\. Check the URL"):
        script.client().job(JOB_ID)
    assert len(script.pauses) == TRIES - 1


@pytest.mark.parametrize("detail", ["must be at most 512", "input.width: must be at most 512"])
def test_a_problem_is_raised_with_its_code_and_field(detail: str) -> None:
    """An error carries the API's problem, names the field once, and is not retried."""
    script = Script(problem(422, "invalid_request", detail, field="input.width"))
    with pytest.raises(ApiError, match=r"^input\.width: must be at most 512$") as raised:
        script.client().submit("a lighthouse", width=4096)
    assert raised.value.problem.code == "invalid_request"
    assert len(script.requests) == 1


def test_a_queue_that_stays_full_is_raised() -> None:
    """A response that asks for a retry is raised as its problem after the last try."""
    script = Script(*(problem(429, "queue_full", "The queue is full.") for _ in range(TRIES)))
    with pytest.raises(ApiError, match="The queue is full"):
        script.client().submit("a lighthouse")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            httpx2.Response(200, text="<html>"),
            r"^Unexpected response \(.+\); the server may run an incompatible version\.$",
        ),
        (httpx2.Response(404, text="<html>"), r"^Unexpected response \(HTTP 404\); check that the URL is the address"),
    ],
)
def test_a_response_of_another_server_is_refused(answer: httpx2.Response, message: str) -> None:
    """A response that is not a Darkroom's says so, and what to check."""
    with pytest.raises(UnreachableError, match=message):
        Script(answer).client().job(JOB_ID)


def test_waiting_reports_every_state() -> None:
    """Waiting reports the job after every poll, less often while it is queued, and returns it when it has ended."""
    script = Script(*(reply(j) for j in (job(), job(), running(3), running(9), job("succeeded"))))
    seen: list[JobStatus] = []
    done = script.client().wait(JOB_ID, on_look=lambda look: seen.append(look.status))
    assert done.status == "succeeded"
    assert seen == ["queued", "queued", "running", "running", "succeeded"]
    assert script.pauses[1] > script.pauses[0] == script.pauses[3]
    assert max(script.pauses) <= LONGEST_POLL_SECONDS


def test_waiting_has_a_timeout() -> None:
    """Waiting raises after the timeout and leaves the job alone."""
    script = Script(reply(running(1)))
    with pytest.raises(StillRunningError, match=r"has not ended within 0\.1 s"):
        script.client().wait(JOB_ID, timeout_seconds=0.1)
    assert [request.method for request in script.requests] == ["GET"]


def test_a_cancel_returns_the_state_of_the_job() -> None:
    """A cancel is posted to the job and returns its state."""
    script = Script(reply(CancelReply(JOB_ID, JobStatus.CANCELED)))
    assert script.client().cancel(JOB_ID).status == "canceled"
    assert (script.requests[0].method, script.requests[0].url.path) == ("POST", f"/v1/jobs/{JOB_ID}/cancel")


@pytest.mark.parametrize("origin", ["", "http://pictures.example"])
def test_a_picture_is_downloaded_without_the_key(origin: str) -> None:
    """A signed URL, or its path at the client's server, is requested unchanged and without a second authorization."""
    script = Script(httpx2.Response(200, content=PICTURE))
    url = "/darkroom/jobs/0.png?X-Amz-Signature=s"
    assert script.client().download(replace(output(), url=origin + url)) == PICTURE
    assert str(script.requests[0].url) == (origin or "http://edge") + url
    assert "Authorization" not in script.requests[0].headers


@pytest.mark.parametrize(
    ("answer", "message"),
    [(httpx2.Response(403), "HTTP 403.*request the job again"), (httpx2.Response(200, content=b"?"), "damaged")],
)
def test_a_broken_picture_is_refused(answer: httpx2.Response, message: str) -> None:
    """A picture that can't be downloaded, or differs from the stored one, is an error that says what to do."""
    with pytest.raises(BrokenDownloadError, match=message):
        Script(answer).client().download(output())
