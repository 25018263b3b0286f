import httpx2
import msgspec
import pytest

from darkroom import ApiError, BrokenDownloadError, StillRunningError, UnreachableError
from darkroom.client import LONGEST_POLL_SECONDS, TRIES
from darkroom_contracts.api import CancelReply, JobRequest
from darkroom_contracts.states import JobStatus
from tests.unit.client.answers import JOB_ID, KEY, PICTURE, Script, job, output, problem, reply, running


def test_a_submission_carries_what_was_asked() -> None:
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
    """After a lost connection or an answer to try again the same submission follows under the same key."""
    again = problem(503, "unavailable", "Away.")
    again.headers["Retry-After"] = "5"
    script = Script(httpx2.ReadTimeout("slow"), again, reply(job(), 202))
    script.client().submit("a lighthouse")
    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 1
    assert script.pauses == [0.5, 5.0]


def test_an_api_that_stays_away_is_told() -> None:
    """When no try reaches the API the error names it."""
    script = Script(*[httpx2.ConnectError("connection refused")] * TRIES)
    with pytest.raises(UnreachableError, match="http://edge can't be reached: connection refused"):
        script.client().job(JOB_ID)
    assert len(script.pauses) == TRIES - 1


@pytest.mark.parametrize("detail", ["must be at most 512", "input.width: must be at most 512"])
def test_a_problem_is_raised_with_its_code_and_field(detail: str) -> None:
    """A refusal carries the API's problem, names the field once, and is not tried again."""
    script = Script(problem(422, "invalid_request", detail, field="input.width"))
    with pytest.raises(ApiError, match=r"^input\.width: must be at most 512$") as raised:
        script.client().submit("a lighthouse", width=4096)
    assert raised.value.problem.code == "invalid_request"
    assert len(script.requests) == 1


def test_a_queue_that_stays_full_is_raised() -> None:
    """An answer to try again is raised as the problem it is when the tries are used up."""
    script = Script(*(problem(429, "queue_full", "The queue is full.") for _ in range(TRIES)))
    with pytest.raises(ApiError, match="The queue is full"):
        script.client().submit("a lighthouse")


@pytest.mark.parametrize("answer", [httpx2.Response(200, text="<html>"), httpx2.Response(404, text="<html>")])
def test_a_stranger_s_answer_is_told(answer: httpx2.Response) -> None:
    """An answer that is not Darkroom's is told as that."""
    with pytest.raises(UnreachableError, match="no Darkroom"):
        Script(answer).client().job(JOB_ID)


def test_waiting_shows_every_state_until_the_end() -> None:
    """Waiting tells each state that it sees and returns the job that ended, slower while it only queues."""
    script = Script(*(reply(j) for j in (job(), job(), running(3), running(9), job("succeeded"))))
    seen: list[JobStatus] = []
    done = script.client().wait(JOB_ID, on_look=lambda look: seen.append(look.status))
    assert done.status == "succeeded"
    assert seen == ["queued", "queued", "running", "running", "succeeded"]
    assert script.pauses[1] > script.pauses[0] == script.pauses[3]
    assert max(script.pauses) <= LONGEST_POLL_SECONDS


def test_waiting_ends_in_time() -> None:
    """Waiting longer than was allowed raises and leaves the job alone."""
    script = Script(reply(running(1)))
    with pytest.raises(StillRunningError, match=r"has not ended within 0\.1 s"):
        script.client().wait(JOB_ID, timeout_seconds=0.1)
    assert [request.method for request in script.requests] == ["GET"]


def test_a_cancel_tells_how_the_job_stands() -> None:
    """A cancel is posted to the job and tells its state."""
    script = Script(reply(CancelReply(JOB_ID, JobStatus.CANCELED)))
    assert script.client().cancel(JOB_ID).status == "canceled"
    assert (script.requests[0].method, script.requests[0].url.path) == ("POST", f"/v1/jobs/{JOB_ID}/cancel")


def test_a_picture_is_downloaded_without_the_key() -> None:
    """A signed URL is fetched as it is, without a second authorization, and the bytes are checked."""
    script = Script(httpx2.Response(200, content=PICTURE))
    assert script.client().download(output()) == PICTURE
    assert "Authorization" not in script.requests[0].headers


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [(httpx2.Response(403), "HTTP 403.*ask for the job again"), (httpx2.Response(200, content=b"?"), "damaged")],
)
def test_a_broken_picture_is_refused(answer: httpx2.Response, complaint: str) -> None:
    """A picture that can't be had, or is not the stored one, is told with what to do."""
    with pytest.raises(BrokenDownloadError, match=complaint):
        Script(answer).client().download(output())
