"""The operators' routes of queues and workers."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.queues import PauseReply, PauseRequest, QueueList, QueueQuery, ResumeReply
from darkroom_contracts.api.workers import DrainReply, DrainRequest, WorkerList, WorkerQuery
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Response, Route, Service

_QUEUES = "/v1/operations/queues"
_WORKERS = "/v1/operations/workers"
_OF_ONE = (*AUTHENTICATED, ApiError.NOT_FOUND)

LIST_QUEUES = Route(
    name="list_queues",
    method=HTTPMethod.GET,
    path=_QUEUES,
    summary="Return how the queues stand: jobs by model, RabbitMQ's queues, the outbox.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=QueueQuery,
    responses={200: Response("The queues.", QueueList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
PAUSE_QUEUE = Route(
    name="pause_queue",
    method=HTTPMethod.POST,
    path=_QUEUES + "/{model}/pause",
    summary="Pause a model: its workers finish their jobs and take no other. Jobs are accepted and wait.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=PauseRequest,
    responses={200: Response("The model is paused.", PauseReply)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST),
)
RESUME_QUEUE = Route(
    name="resume_queue",
    method=HTTPMethod.POST,
    path=_QUEUES + "/{model}/resume",
    summary="Resume a model. Its workers take jobs again with their next heartbeat.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    responses={200: Response("The model is not paused.", ResumeReply)},
    problems=_OF_ONE,
)
LIST_WORKERS = Route(
    name="list_workers",
    method=HTTPMethod.GET,
    path=_WORKERS,
    summary="List the workers with their jobs, those that are silent or lost included.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=WorkerQuery,
    responses={200: Response("The workers.", WorkerList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
DRAIN_WORKER = Route(
    name="drain_worker",
    method=HTTPMethod.POST,
    path=_WORKERS + "/{name}/drain",
    summary="Let a worker finish its jobs and take no other, until it is resumed or its process ends.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=DrainRequest,
    responses={200: Response("The worker drains with its next heartbeat.", DrainReply)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST),
)
RESUME_WORKER = Route(
    name="resume_worker",
    method=HTTPMethod.POST,
    path=_WORKERS + "/{name}/resume",
    summary="Let a drained worker take jobs again.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    responses={200: Response("The worker takes jobs with its next heartbeat.", DrainReply)},
    problems=_OF_ONE,
)

QUEUE_ROUTES = (LIST_QUEUES, PAUSE_QUEUE, RESUME_QUEUE, LIST_WORKERS, DRAIN_WORKER, RESUME_WORKER)
"""The routes of queues and workers."""
