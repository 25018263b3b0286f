"""The gateway's endpoints: from HTTP to the use cases and back."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.errors import DatabaseError
from chassis.http import Endpoint, read_body, reply
from chassis.problems import ProblemError
from darkroom_contracts.api import MAX_BODY_BYTES
from darkroom_contracts.errors import ApiError
from gateway import metrics
from gateway.decoding import invalid
from gateway.intake import Intake
from gateway.submission import Accepted

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 1
"""When a client may look for its job for the first time."""


class Endpoints:
    """Answers the gateway's routes."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {
            "submit_job": self.submit,
            "cancel_job": self.cancel,
            "retry_job": self.retry,
            "delete_job": self.delete,
        }

    async def submit(self, request: Request, caller: Caller) -> Response:
        """Record a job: 202 once it can't be lost any more."""
        with _counted_refusals():
            body = await read_body(request, MAX_BODY_BYTES)
            accepted = await self._intake.submit(caller, body, _idempotency_key(request), request.scope["traceparent"])
        return _accepted(accepted)

    async def retry(self, request: Request, caller: Caller) -> Response:
        """Record a new job that asks for the same as a finished one."""
        job_id = request.path_params["id"]
        with _counted_refusals():
            accepted = await self._intake.retry(caller, job_id, _idempotency_key(request), request.scope["traceparent"])
        return _accepted(accepted)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """Cancel a job; doing it again, or too late, changes nothing."""
        return reply(await self._intake.cancel(caller, request.path_params["id"]))

    async def delete(self, request: Request, caller: Caller) -> Response:
        """Delete a finished job; its id answers 410 from then on."""
        await self._intake.delete(caller, request.path_params["id"])
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
        raise invalid("Idempotency-Key", "may be sent once")
    return keys[0] if keys else None
