"""Synchronous client of the HTTP API."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID, uuid4

import httpx2

from darkroom.desk.audit import Audit
from darkroom.desk.groups import DeadLetterGroups
from darkroom.desk.keys import Keys
from darkroom.desk.letters import DeadLetters
from darkroom.desk.queues import Queues
from darkroom.desk.replays import Replays
from darkroom.desk.workers import Workers
from darkroom.errors import BrokenDownloadError, StillRunningError
from darkroom.transport import Transport
from darkroom.webhook_deliveries import WebhookDeliveries
from darkroom.webhook_endpoints import WebhookEndpoints
from darkroom_contracts.api import CancelReply, Job, JobInputRequest, JobRequest, Output, OutputFormat
from darkroom_contracts.routes import CANCEL_JOB, GET_JOB, SUBMIT_JOB
from darkroom_contracts.states import TERMINAL, JobStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS, WebhookEvent

POLL_SECONDS = 0.25
LONGEST_POLL_SECONDS = 2.0


class Client:
    """Client with one API key. Use it as a context manager, and from one thread only.

    Lost connections and the statuses 429, 502, 503 and 504 are retried with growing pauses, four tries in all, since
    requests are safe to repeat: a submission carries an Idempotency-Key. The few that are not say so. Every method that
    sends a request raises UnreachableError and ApiError.
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
        self._api = Transport(url, api_key, timeout_seconds=timeout_seconds, transport=transport, sleep=sleep)
        self.webhook_endpoints = WebhookEndpoints(self._api)
        self.webhook_deliveries = WebhookDeliveries(self._api)
        self.queues = Queues(self._api)
        self.workers = Workers(self._api)
        self.keys = Keys(self._api)
        self.audit = Audit(self._api)
        self.dead_letters = DeadLetters(self._api)
        self.dead_letter_groups = DeadLetterGroups(self._api)
        self.replays = Replays(self._api)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._api.close()

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
        webhook_url: str | None = None,
        webhook_events: Sequence[WebhookEvent] = TERMINAL_EVENTS,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a prompt and return the accepted job. Parameters that are None take the model's defaults.

        `width` and `height` are in pixels. `webhook_events` are delivered to `webhook_url`, if there is one. With an
        `idempotency_key` the submission is repeatable across runs of a program too; without one, every call submits a
        new job.
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
        request = JobRequest(
            job_input,
            model=model,
            metadata=metadata or {},
            webhook_url=webhook_url,
            webhook_events=tuple(webhook_events),
        )
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self._api.call(SUBMIT_JOB, Job, body=request, headers=headers)

    def job(self, job_id: UUID) -> Job:
        """Return the current state of the job."""
        return self._api.call(GET_JOB, Job, path={"id": job_id})

    def cancel(self, job_id: UUID) -> CancelReply:
        """Cancel the job and return its state. A running job stops later; a job that has ended stays as it is."""
        return self._api.call(CANCEL_JOB, CancelReply, path={"id": job_id})

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
            self._api.sleep(pause)
            pause = POLL_SECONDS if job.status == JobStatus.RUNNING else min(pause * 1.5, LONGEST_POLL_SECONDS)

    def download(self, output: Output) -> bytes:
        """Return the bytes of a picture after checking their SHA-256. Raises BrokenDownloadError too."""
        answer = self._api.send("GET", output.url)
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
