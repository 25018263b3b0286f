"""Responses of the HTTP API, and a client that receives them."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx2
import msgspec

from darkroom import Client
from darkroom_contracts.api import Job, JobError, JobInput, JobProgress, Output, Problem
from darkroom_contracts.routes import job_urls
from darkroom_contracts.states import JobStatus

JOB_ID = UUID("01993b5c-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
PICTURE = b"\x89PNG picture"
KEY = "dk_client_secret"

Handler = Callable[[httpx2.Request], httpx2.Response]


def job(status: str = "queued", **more: Any) -> Job:
    wanted = JobInput("a [bold]lighthouse[/bold]", "", 20, 7.5, "ddim", 64, 64, 7, 1, "png")
    return Job(
        id=JOB_ID,
        status=JobStatus(status),
        model="tiny",
        input=wanted,
        created_at=AT,
        queued_at=AT,
        expires_at=AT,
        max_attempts=4,
        urls=job_urls(JOB_ID),
        **more,
    )


def output(index: int = 0, body: bytes = PICTURE) -> Output:
    return Output(
        index=index,
        content_type="image/png",
        width=64,
        height=64,
        size_bytes=len(body),
        sha256=sha256(body).hexdigest(),
        seed=7,
        link=f"http://edge/v1/jobs/{JOB_ID}/outputs/{index}",
        url=f"http://edge/darkroom/jobs/{index}.png?X-Amz-Signature=s",
        url_expires_at=AT,
    )


def running(step: int) -> Job:
    return job("running", progress=JobProgress(step, 20, step / 20))


def failed() -> Job:
    return job("failed", error=JobError("pipeline_error", "The scheduler failed.", retryable=False))


def reply(content: Any, status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, content=msgspec.json.encode(content), headers=headers)


def problem(status: int, code: str, detail: str, **more: str) -> httpx2.Response:
    return reply(Problem(f"https://darkroom.dev/problems/{code}", "Title", status, code, detail, **more), status)


class Script:
    """Answers requests one after the other, and remembers them and the pauses between."""

    def __init__(self, *answers: httpx2.Response | BaseException) -> None:
        self._answers = iter(answers)
        self.requests: list[httpx2.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def client(self, url: str = "http://edge", api_key: str = KEY) -> Client:
        return Client(url, api_key, transport=httpx2.MockTransport(self), sleep=self.pauses.append)
