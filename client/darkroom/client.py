"""Synchronous client of the HTTP API."""

import hashlib
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import httpx2
import msgspec

from darkroom.errors import ApiError, BrokenDownloadError, StillRunningError, UnreachableError
from darkroom_contracts.api import CancelReply, Job, JobInputRequest, JobRequest, Output, OutputFormat, Problem
from darkroom_contracts.routes import CANCEL_JOB, GET_JOB, SUBMIT_JOB, Route
from darkroom_contracts.states import TERMINAL, JobStatus

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
LONGEST_RETRY_AFTER_SECONDS = 30.0
POLL_SECONDS = 0.25
LONGEST_POLL_SECONDS = 2.0
_TRY_AGAIN = (429, 502, 503, 504)


class Client:
    """Client with one API key. Use it as a context manager, and from one thread only.

    Every request is safe to repeat (a submission carries an Idempotency-Key), so lost connections and the statuses 429,
    502, 503 and 504 are retried with growing pauses, four tries in all. Every method that sends a request raises
    UnreachableError and ApiError.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_seconds: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` is the origin, such as http://127.0.0.1:8080. `transport` and `sleep` are for tests."""
        self._http = httpx2.Client(base_url=url, timeout=timeout_seconds, transport=transport)
        # Not a default header: pictures are fetched by signed URLs, which allow no second authorization.
        self._authorization = {"Authorization": f"Bearer {api_key}"}
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        prompt: str,
        *,
        model: str | None = None,
        negative_prompt: str = "",
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        width: int | None = None,
        height: int | None = None,
        seed: int | None = None,
        num_images: int = 1,
        output_format: OutputFormat = "png",
        metadata: dict[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a prompt and return the accepted job. Parameters that are None take the model's defaults.

        `width` and `height` are in pixels. With an `idempotency_key` the submission is repeatable across runs of a
        program too; without one, every call submits a new job.
        """
        job_input = JobInputRequest(
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            scheduler=scheduler,
            width=width,
            height=height,
            seed=seed,
            num_images=num_images,
            output_format=output_format,
        )
        request = JobRequest(job_input, model=model, metadata=metadata or {})
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key or uuid4().hex}
        answer = self._call(SUBMIT_JOB, content=msgspec.json.encode(request), headers=headers)
        return _decode(answer, Job)

    def job(self, job_id: UUID) -> Job:
        """Return the current state of the job."""
        return _decode(self._call(GET_JOB, id=job_id), Job)

    def cancel(self, job_id: UUID) -> CancelReply:
        """Cancel the job and return its state. A running job stops later; a job that has ended stays as it is."""
        return _decode(self._call(CANCEL_JOB, id=job_id), CancelReply)

    def wait(
        self, job_id: UUID, *, timeout_seconds: float | None = None, on_look: Callable[[Job], None] | None = None
    ) -> Job:
        """Poll until the job has ended, and return it, whatever its status.

        `on_look` is called with the job after every poll. Raises StillRunningError after `timeout_seconds`.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        pause = POLL_SECONDS
        while True:
            job = self.job(job_id)
            if on_look:
                on_look(job)
            if job.status in TERMINAL:
                return job
            if deadline is not None and time.monotonic() + pause > deadline:
                raise StillRunningError(job_id, timeout_seconds or 0)
            self._sleep(pause)
            pause = POLL_SECONDS if job.status == JobStatus.RUNNING else min(pause * 1.5, LONGEST_POLL_SECONDS)

    def download(self, output: Output) -> bytes:
        """Return the bytes of a picture after checking their SHA-256. Raises BrokenDownloadError too."""
        answer = self._send("GET", output.url)
        if answer.status_code != httpx2.codes.OK:
            raise BrokenDownloadError(
                f"Picture {output.index} can't be downloaded (HTTP {answer.status_code}). Its URL expires at"
                f" {output.url_expires_at:%H:%M:%S %Z}; request the job again to get a new URL."
            )
        if hashlib.sha256(answer.content).hexdigest() != output.sha256:
            raise BrokenDownloadError(
                f"Picture {output.index} arrived damaged: its SHA-256 differs. Download it again."
            )
        return answer.content

    def _call(self, route: Route, *, headers: dict[str, str] | None = None, content: bytes = b"", **ids: UUID) -> bytes:
        path = route.template.format(**ids)
        answer = self._send(route.method, path, headers={**self._authorization, **(headers or {})}, content=content)
        if not answer.is_success:
            raise ApiError(_problem(answer))
        return answer.content

    def _send(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """Send the request, and retry it where that may help."""
        pause = FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self._http.request(method, url, **request)
            except httpx2.TransportError as error:
                if not tries_left or isinstance(error, httpx2.UnsupportedProtocol):
                    raise UnreachableError(_unreachable(self._http.base_url, error)) from error
            else:
                if answer.status_code not in _TRY_AGAIN or not tries_left:
                    return answer
                pause = max(pause, _retry_after(answer))
            self._sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")


def _unreachable(url: httpx2.URL, error: httpx2.TransportError) -> str:
    reason = str(error).rstrip(".") or type(error).__name__
    return f"{url} can't be reached: {reason}. Check the URL, and that the server is running."


def _decode(body: bytes, expected: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreachableError(f"Unexpected response ({error}); the server may run an incompatible version.") from error


def _problem(answer: httpx2.Response) -> Problem:
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreachableError(
            f"Unexpected response (HTTP {answer.status_code}); check that the URL is the address of a Darkroom."
        ) from error


def _retry_after(answer: httpx2.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), LONGEST_RETRY_AFTER_SECONDS) if text.isdecimal() else 0.0
