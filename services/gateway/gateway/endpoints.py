"""The endpoints of the gateway."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.decoding import invalid
from chassis.errors import DatabaseError
from chassis.http import Endpoint, read_body, reply
from chassis.problems import ProblemError
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.errors import ApiError
from gateway import metrics
from gateway.cancel import CancelJob
from gateway.delete import DeleteJob
from gateway.retry import RetryJob
from gateway.submission import Accepted
from gateway.submit import SubmitJob

log = structlog.get_logger()

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

RETRY_AFTER_SECONDS = 1
"""When a client should read its job for the first time."""


class Endpoints:
    """Answers the routes of the gateway."""

    def __init__(self, submit: SubmitJob, retry: RetryJob, cancel: CancelJob, delete: DeleteJob) -> None:
        self._submit = submit
        self._retry = retry
        self._cancel = cancel
        self._delete = delete

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "submit_job": self.submit,
            "cancel_job": self.cancel,
            "retry_job": self.retry,
            "delete_job": self.delete,
        }

    async def submit(self, request: Request, caller: Caller) -> Response:
        """Accept a job: 202 once it is committed."""
        with _counted_refusals():
            body = await read_body(request, MAX_BODY_BYTES)
            accepted = await self._submit(caller, body, _idempotency_key(request), request.scope["traceparent"])
        return _accepted(accepted)

    async def retry(self, request: Request, caller: Caller) -> Response:
        """Accept a new job with the input of a finished one."""
        job_id = request.path_params["id"]
        with _counted_refusals():
            accepted = await self._retry(caller, job_id, _idempotency_key(request), request.scope["traceparent"])
        return _accepted(accepted)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel a job. A repeated or late cancel changes nothing."""
        return reply(await self._cancel(caller, request.path_params["id"]))

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Delete a finished job, whose id is answered 410 from then on."""
        await self._delete(caller, request.path_params["id"])
        return Response(status_code=204)


@contextmanager
def _counted_refusals() -> Iterator[None]:
    try:
        yield
    except ProblemError as error:
        metrics.JOBS.labels(error.problem.code).inc()
        raise
    except DatabaseError:  # answered 503 by the chassis
        metrics.JOBS.labels(ApiError.UNAVAILABLE).inc()
        raise


def _accepted(accepted: Accepted) -> Response:
    outcome = "replayed" if accepted.replayed else "accepted"
    metrics.JOBS.labels(outcome).inc()
    log.info(f"job {outcome}", job_id=str(accepted.job.id), model=accepted.job.model)
    headers = {"Location": accepted.job.urls.self, "Retry-After": str(RETRY_AFTER_SECONDS)}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return reply(accepted.job, 202, headers)


def _idempotency_key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        raise invalid("Idempotency-Key", "must be sent once")
    if keys and not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
        raise invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters, without spaces")
    return keys[0] if keys else None
