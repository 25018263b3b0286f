"""The whole HTTP API as data: every endpoint with its service, scope, bodies and problems.

The services' routing, the tables of docs/api.md and the edge's configuration are held to it.
"""

import re
from enum import StrEnum
from http import HTTPMethod
from typing import Any
from uuid import UUID

import msgspec

from darkroom_contracts.api import CancelReply, Job, JobRequest, JobUrls, Liveness, ModelList, Readiness, Scope
from darkroom_contracts.errors import ApiError

_CONVERTER = re.compile(r":\w+(?=\})")


class Service(StrEnum):
    """The services that the edge sends requests to."""

    GATEWAY = "gateway"
    STATUS = "status"
    OPERATIONS = "operations"


class Kind(StrEnum):
    """How a route answers."""

    HTTP = "http"
    """With one response."""
    SSE = "sse"
    """With server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    WS = "ws"
    """With a WebSocket, RFC 6455."""


class Header(msgspec.Struct, frozen=True):
    """A header of a request or of a response."""

    name: str
    description: str


class Response(msgspec.Struct, frozen=True):
    """A successful response of a route."""

    description: str
    type: Any = None
    """Type of the body, or of each event; None without a body."""
    headers: tuple[Header, ...] = ()
    media_type: str = "application/json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of the API."""

    name: str
    """Identifies the route in the services' code and in the API's documents."""
    method: HTTPMethod
    path: str
    """In Starlette's form, such as `/v1/jobs/{id:uuid}`."""
    summary: str
    service: Service | None
    """The service that answers; None for every service, each for itself and not through the edge."""
    scope: Scope | None
    """What the API key must allow; None for a public route."""
    kind: Kind = Kind.HTTP
    request: Any = None
    """Type of the JSON body; None without a body."""
    request_headers: tuple[Header, ...] = ()
    responses: dict[int, Response]
    """Successful responses by status."""
    problems: tuple[ApiError, ...] = ()
    waits: bool = False
    """Whether the response may take longer than the 30 s for which the edge otherwise waits."""

    @property
    def template(self) -> str:
        """The path as OpenAPI and `str.format` write it, such as `/v1/jobs/{id}`."""
        return _CONVERTER.sub("", self.path)


_IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters. A repeated request with the same key and body gets the first response again.",
)
_REPLAYED = Header("Idempotency-Replayed", "`true` when the Idempotency-Key was used before with the same body.")
_LOCATION = Header("Location", "Path of the job.")
_PICTURE_LOCATION = Header("Location", "Path and presigned query of the picture, which opens without a key.")
_RETRY_AFTER = Header("Retry-After", "Seconds to wait before the first read of the job.")
_AUTHENTICATED = (ApiError.UNAUTHENTICATED, ApiError.FORBIDDEN, ApiError.UNAVAILABLE, ApiError.INTERNAL)
_ADMISSION = (
    ApiError.INVALID_REQUEST,
    ApiError.IDEMPOTENCY_KEY_REUSED,
    ApiError.GONE,
    ApiError.QUEUE_FULL,
    ApiError.QUOTA_EXCEEDED,
)
_ACCEPTED = Response("The job is committed; it is `queued`.", Job, headers=(_LOCATION, _RETRY_AFTER, _REPLAYED))

SUBMIT_JOB = Route(
    name="submit_job",
    method=HTTPMethod.POST,
    path="/v1/jobs",
    summary="Submit a job.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    request=JobRequest,
    request_headers=(_IDEMPOTENCY_KEY,),
    responses={202: _ACCEPTED},
    problems=(
        *_AUTHENTICATED,
        ApiError.INVALID_JSON,
        ApiError.UNSUPPORTED_MEDIA_TYPE,
        ApiError.BODY_TOO_LARGE,
        *_ADMISSION,
    ),
)
GET_JOB = Route(
    name="get_job",
    method=HTTPMethod.GET,
    path="/v1/jobs/{id:uuid}",
    summary="Return the whole job.",
    service=Service.STATUS,
    scope=Scope.CLIENT,
    responses={200: Response("The job as it stands.", Job)},
    problems=(*_AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
)
GET_OUTPUT = Route(
    name="get_output",
    method=HTTPMethod.GET,
    path="/v1/jobs/{id:uuid}/outputs/{index}",
    summary="Redirect to a picture of the job.",
    service=Service.STATUS,
    scope=Scope.CLIENT,
    responses={302: Response("The picture is at `Location`.", headers=(_PICTURE_LOCATION,))},
    problems=(*_AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
)
CANCEL_JOB = Route(
    name="cancel_job",
    method=HTTPMethod.POST,
    path="/v1/jobs/{id:uuid}/cancel",
    summary="Cancel the job. Idempotent; a job that has ended stays as it is.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    responses={200: Response("The job's status after the request.", CancelReply)},
    problems=(*_AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
)
RETRY_JOB = Route(
    name="retry_job",
    method=HTTPMethod.POST,
    path="/v1/jobs/{id:uuid}/retry",
    summary="Submit a new job with the input of this finished one.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    request_headers=(_IDEMPOTENCY_KEY,),
    responses={202: _ACCEPTED},
    problems=(*_AUTHENTICATED, ApiError.NOT_FOUND, ApiError.JOB_NOT_FINISHED, *_ADMISSION),
)
DELETE_JOB = Route(
    name="delete_job",
    method=HTTPMethod.DELETE,
    path="/v1/jobs/{id:uuid}",
    summary="Delete this finished job and its pictures.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    responses={204: Response("The job is deleted.")},
    problems=(*_AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE, ApiError.JOB_NOT_FINISHED),
)
LIST_MODELS = Route(
    name="list_models",
    method=HTTPMethod.GET,
    path="/v1/models",
    summary="List the models and their bounds.",
    service=Service.STATUS,
    scope=Scope.CLIENT,
    responses={200: Response("The models, the default first.", ModelList)},
    problems=_AUTHENTICATED,
)

ROUTES = (SUBMIT_JOB, GET_JOB, GET_OUTPUT, CANCEL_JOB, RETRY_JOB, DELETE_JOB, LIST_MODELS)
"""The routes that the edge exposes."""

HEALTH_ROUTES = (
    Route(
        name="live",
        method=HTTPMethod.GET,
        path="/healthz",
        summary="Report that the process is alive.",
        service=None,
        scope=None,
        responses={200: Response("The process is alive.", Liveness)},
    ),
    Route(
        name="ready",
        method=HTTPMethod.GET,
        path="/readyz",
        summary="Report whether the service can do its work, by named checks.",
        service=None,
        scope=None,
        responses={
            200: Response("The service is ready.", Readiness),
            503: Response("A check failed, or the service is shutting down.", Readiness),
        },
    ),
    Route(
        name="metrics",
        method=HTTPMethod.GET,
        path="/metrics",
        summary="Return the metrics for Prometheus.",
        service=None,
        scope=None,
        responses={200: Response("The metrics.", media_type="text/plain; version=1.0.0; charset=utf-8")},
    ),
)
"""The routes that every service answers on its own port, and that the edge does not expose."""

_JOB_PATHS = tuple(route.template.split("{id}") for route in (GET_JOB, CANCEL_JOB, RETRY_JOB))


def output_path(job_id: UUID, index: int) -> str:
    """Return the path that redirects to a picture of a job."""
    return GET_OUTPUT.template.format(id=job_id, index=index)


def job_urls(job_id: UUID) -> JobUrls:
    """Return the paths of a job's routes, relative to the origin."""
    text = str(job_id)
    return JobUrls(*[text.join(parts) for parts in _JOB_PATHS])  # every response has them: faster than str.format
