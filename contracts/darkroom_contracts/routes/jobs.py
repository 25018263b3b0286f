"""The routes of jobs and models."""

from http import HTTPMethod
from uuid import UUID

from darkroom_contracts.api import CancelReply, Job, JobRequest, JobUrls, ModelList, Scope
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Header, Response, Route, Service

_IDEMPOTENCY_KEY = Header(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters. A repeated request with the same key and body gets the first response again.",
)
_REPLAYED = Header("Idempotency-Replayed", "`true` when the Idempotency-Key was used before with the same body.")
_LOCATION = Header("Location", "Path of the job.")
_PICTURE_LOCATION = Header("Location", "Path and presigned query of the picture, which opens without a key.")
_RETRY_AFTER = Header("Retry-After", "Seconds to wait before the first read of the job.")
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
        *AUTHENTICATED,
        *OF_BODIES,
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
    problems=(*AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
)
GET_OUTPUT = Route(
    name="get_output",
    method=HTTPMethod.GET,
    path="/v1/jobs/{id:uuid}/outputs/{index}",
    summary="Redirect to a picture of the job.",
    service=Service.STATUS,
    scope=Scope.CLIENT,
    responses={302: Response("The picture is at `Location`.", headers=(_PICTURE_LOCATION,))},
    problems=(*AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
)
CANCEL_JOB = Route(
    name="cancel_job",
    method=HTTPMethod.POST,
    path="/v1/jobs/{id:uuid}/cancel",
    summary="Cancel the job. Idempotent; a job that has ended stays as it is.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    responses={200: Response("The job's status after the request.", CancelReply)},
    problems=(*AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE),
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
    problems=(*AUTHENTICATED, ApiError.NOT_FOUND, ApiError.JOB_NOT_FINISHED, *_ADMISSION),
)
DELETE_JOB = Route(
    name="delete_job",
    method=HTTPMethod.DELETE,
    path="/v1/jobs/{id:uuid}",
    summary="Delete this finished job and its pictures.",
    service=Service.GATEWAY,
    scope=Scope.CLIENT,
    responses={204: Response("The job is deleted.")},
    problems=(*AUTHENTICATED, ApiError.NOT_FOUND, ApiError.GONE, ApiError.JOB_NOT_FINISHED),
)
LIST_MODELS = Route(
    name="list_models",
    method=HTTPMethod.GET,
    path="/v1/models",
    summary="List the models and their bounds.",
    service=Service.STATUS,
    scope=Scope.CLIENT,
    responses={200: Response("The models, the default first.", ModelList)},
    problems=AUTHENTICATED,
)

JOB_ROUTES = (SUBMIT_JOB, GET_JOB, GET_OUTPUT, CANCEL_JOB, RETRY_JOB, DELETE_JOB, LIST_MODELS)

_JOB_PATHS = tuple(route.template.split("{id}") for route in (GET_JOB, CANCEL_JOB, RETRY_JOB))


def output_path(job_id: UUID, index: int) -> str:
    """Return the path that redirects to a picture of a job."""
    return GET_OUTPUT.template.format(id=job_id, index=index)


def job_urls(job_id: UUID) -> JobUrls:
    """Return the paths of a job's routes, relative to the origin."""
    text = str(job_id)
    return JobUrls(*[text.join(parts) for parts in _JOB_PATHS])  # every response has them: faster than str.format
