"""The routes of groups of dead letters."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.dead_letter_groups import (
    DeadLetterGroup,
    DeadLetterGroupDetail,
    DeadLetterGroupList,
    DeadLetterGroupQuery,
    GroupNoteRequest,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Response, Route, Service

_GROUPS = "/v1/operations/dead-letter-groups"
_GROUP = _GROUPS + "/{id:uuid}"
_OF_ONE = (*AUTHENTICATED, ApiError.NOT_FOUND)

LIST_GROUPS = Route(
    name="list_groups",
    method=HTTPMethod.GET,
    path=_GROUPS,
    summary="List groups of dead letters of one kind, model and fingerprint, those with open ones first.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=DeadLetterGroupQuery,
    responses={200: Response("A page of groups.", DeadLetterGroupList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
GET_GROUP = Route(
    name="get_group",
    method=HTTPMethod.GET,
    path=_GROUP,
    summary="Return a group of dead letters, and what they have in common that other attempts have not.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    responses={200: Response("The group.", DeadLetterGroupDetail)},
    problems=_OF_ONE,
)
NOTE_GROUP = Route(
    name="note_group",
    method=HTTPMethod.PUT,
    path=_GROUP + "/note",
    summary="Write, replace or remove the note of a group.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=GroupNoteRequest,
    responses={200: Response("The group as it is now.", DeadLetterGroup)},
    problems=(*_OF_ONE, *OF_BODIES, ApiError.INVALID_REQUEST),
)

GROUP_ROUTES = (LIST_GROUPS, GET_GROUP, NOTE_GROUP)
"""The routes of this topic."""
