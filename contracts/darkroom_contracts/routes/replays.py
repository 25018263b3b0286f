"""The operators' routes of replays: of one dead letter, and in bulk."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.replays import (
    BulkReplay,
    BulkReplayList,
    BulkReplayQuery,
    BulkReplayRequest,
    ReplayActRequest,
    ReplayItemList,
    ReplayItemQuery,
    ReplayReply,
    ReplayRequest,
    ReplayStartRequest,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Header, Response, Route, Service

_LETTER = "/v1/operations/dead-letters/{id:uuid}"
_REPLAYS = "/v1/operations/replays"
_REPLAY = _REPLAYS + "/{id:uuid}"
_OF_ONE = (*AUTHENTICATED, ApiError.NOT_FOUND)
_ACT = (*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.CONFLICT)

REPLAY_LETTER = Route(
    name="replay_letter",
    method=HTTPMethod.POST,
    path=_LETTER + "/replay",
    summary="Replay an open dead letter: queue its job again, or send its webhook again. A second replay is refused.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ReplayRequest,
    responses={202: Response("The job is queued, or the webhook is due.", ReplayReply)},
    problems=_ACT,
)
PLAN_REPLAY = Route(
    name="plan_replay",
    method=HTTPMethod.POST,
    path=_REPLAYS,
    summary="Plan a bulk replay: freeze the open dead letters of a scope, and say what would happen to each.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=BulkReplayRequest,
    responses={
        202: Response(
            "The replay is being planned; nothing is replayed until it is started.",
            BulkReplay,
            headers=(Header("Location", "Path of the replay."),),
        )
    },
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST),
)
LIST_REPLAYS = Route(
    name="list_replays",
    method=HTTPMethod.GET,
    path=_REPLAYS,
    summary="List the bulk replays, the newest first.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=BulkReplayQuery,
    responses={200: Response("A page of replays.", BulkReplayList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
GET_REPLAY = Route(
    name="get_replay",
    method=HTTPMethod.GET,
    path=_REPLAY,
    summary="Return a bulk replay.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    responses={200: Response("The replay.", BulkReplay)},
    problems=_OF_ONE,
)
LIST_REPLAY_ITEMS = Route(
    name="list_replay_items",
    method=HTTPMethod.GET,
    path=_REPLAY + "/items",
    summary="List the dead letters of a bulk replay, each with its verdict and its outcome.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=ReplayItemQuery,
    responses={200: Response("A page of dead letters.", ReplayItemList)},
    problems=(*_OF_ONE, ApiError.INVALID_REQUEST),
)
START_REPLAY = Route(
    name="start_replay",
    method=HTTPMethod.POST,
    path=_REPLAY + "/start",
    summary="Start a planned bulk replay, if it is of that many dead letters.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ReplayStartRequest,
    responses={200: Response("The replay, which runs.", BulkReplay)},
    problems=(*_ACT, ApiError.COUNT_DIFFERS),
)
PAUSE_REPLAY = Route(
    name="pause_replay",
    method=HTTPMethod.POST,
    path=_REPLAY + "/pause",
    summary="Pause a running bulk replay at once. What it has replayed goes on.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ReplayActRequest,
    responses={200: Response("The replay, which is paused.", BulkReplay)},
    problems=_ACT,
)
RESUME_REPLAY = Route(
    name="resume_replay",
    method=HTTPMethod.POST,
    path=_REPLAY + "/resume",
    summary="Resume a paused bulk replay. The time of a ramp's stage begins again.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ReplayActRequest,
    responses={200: Response("The replay, which runs.", BulkReplay)},
    problems=_ACT,
)
CANCEL_REPLAY = Route(
    name="cancel_replay",
    method=HTTPMethod.POST,
    path=_REPLAY + "/cancel",
    summary="Cancel a bulk replay at once. What it has replayed goes on.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ReplayActRequest,
    responses={200: Response("The replay, which is canceled.", BulkReplay)},
    problems=_ACT,
)

REPLAY_ROUTES = (
    REPLAY_LETTER,
    PLAN_REPLAY,
    LIST_REPLAYS,
    GET_REPLAY,
    LIST_REPLAY_ITEMS,
    START_REPLAY,
    PAUSE_REPLAY,
    RESUME_REPLAY,
    CANCEL_REPLAY,
)
"""The routes of replays."""
