"""The routes of dead letters."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.dead_letters import (
    BulkDiscardReply,
    BulkDiscardRequest,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterExportQuery,
    DeadLetterList,
    DeadLetterQuery,
    DiscardRequest,
    RestoreRequest,
    Revealed,
    RevealRequest,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Response, Route, Service

_LETTERS = "/v1/operations/dead-letters"
_LETTER = _LETTERS + "/{id:uuid}"
_OF_ONE = (*AUTHENTICATED, ApiError.NOT_FOUND)

LIST_DEAD_LETTERS = Route(
    name="list_dead_letters",
    method=HTTPMethod.GET,
    path=_LETTERS,
    summary="List and search dead letters, the newest first.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=DeadLetterQuery,
    responses={200: Response("A page of dead letters.", DeadLetterList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
EXPORT_DEAD_LETTERS = Route(
    name="export_dead_letters",
    method=HTTPMethod.GET,
    path=_LETTERS + "/export",
    summary="Stream dead letters as JSON lines, each as in the list.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=DeadLetterExportQuery,
    responses={
        200: Response(
            "A line for each dead letter; one that is cut off means that more follow.",
            DeadLetter,
            media_type="application/x-ndjson",
        )
    },
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
DISCARD_DEAD_LETTERS = Route(
    name="discard_dead_letters",
    method=HTTPMethod.POST,
    path=_LETTERS + "/discard",
    summary="Discard the open dead letters of a scope, if they are as many as `count` says.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=BulkDiscardRequest,
    responses={200: Response("What was discarded, or would be.", BulkDiscardReply)},
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.COUNT_DIFFERS),
)
GET_DEAD_LETTER = Route(
    name="get_dead_letter",
    method=HTTPMethod.GET,
    path=_LETTER,
    summary="Return a dead letter with its attempts, without its hidden parts.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    responses={200: Response("The dead letter.", DeadLetterDetail)},
    problems=_OF_ONE,
)
REVEAL_DEAD_LETTER = Route(
    name="reveal_dead_letter",
    method=HTTPMethod.POST,
    path=_LETTER + "/reveal",
    summary="Return the hidden parts of a dead letter. The audit log records who looked, and why.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=RevealRequest,
    responses={200: Response("The hidden parts.", Revealed)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST),
)
DISCARD_DEAD_LETTER = Route(
    name="discard_dead_letter",
    method=HTTPMethod.POST,
    path=_LETTER + "/discard",
    summary="Discard an open dead letter.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=DiscardRequest,
    responses={200: Response("The dead letter as it is now.", DeadLetter)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.CONFLICT),
)
RESTORE_DEAD_LETTER = Route(
    name="restore_dead_letter",
    method=HTTPMethod.POST,
    path=_LETTER + "/restore",
    summary="Open a discarded dead letter again.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=RestoreRequest,
    responses={200: Response("The dead letter as it is now.", DeadLetter)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.CONFLICT),
)

DEAD_LETTER_ROUTES = (
    LIST_DEAD_LETTERS,
    EXPORT_DEAD_LETTERS,
    DISCARD_DEAD_LETTERS,
    GET_DEAD_LETTER,
    REVEAL_DEAD_LETTER,
    DISCARD_DEAD_LETTER,
    RESTORE_DEAD_LETTER,
)
"""The routes of dead letters that operations answers."""
