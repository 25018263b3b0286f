"""The routes of API keys and of the audit log."""

from http import HTTPMethod

from darkroom_contracts.api import Scope
from darkroom_contracts.api.audit import AuditList, AuditQuery
from darkroom_contracts.api.keys import (
    ApiKeyList,
    ApiKeyQuery,
    ApiKeyRequest,
    ApiKeyView,
    NewApiKey,
    RevocationRequest,
    RotationRequest,
)
from darkroom_contracts.errors import ApiError
from darkroom_contracts.routes.route import AUTHENTICATED, OF_BODIES, Response, Route, Service

_KEYS = "/v1/operations/keys"
_KEY = _KEYS + "/{id}"

LIST_KEYS = Route(
    name="list_keys",
    method=HTTPMethod.GET,
    path=_KEYS,
    summary="List the API keys of all tenants, without their secrets.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=ApiKeyQuery,
    responses={200: Response("A page of keys.", ApiKeyList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)
CREATE_KEY = Route(
    name="create_key",
    method=HTTPMethod.POST,
    path=_KEYS,
    summary="Create an API key, and its tenant if that does not exist.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=ApiKeyRequest,
    responses={201: Response("The key with its secret.", NewApiKey)},
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST),
)
ROTATE_KEY = Route(
    name="rotate_key",
    method=HTTPMethod.POST,
    path=_KEY + "/rotate",
    summary="Create a key of the same name, tenant and scope. The old one works for a while.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=RotationRequest,
    responses={201: Response("The new key with its secret.", NewApiKey)},
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.NOT_FOUND, ApiError.CONFLICT),
)
REVOKE_KEY = Route(
    name="revoke_key",
    method=HTTPMethod.POST,
    path=_KEY + "/revoke",
    summary="Revoke a key, which is refused within seconds. Idempotent.",
    service=Service.OPERATIONS,
    scope=Scope.OPERATOR,
    request=RevocationRequest,
    responses={200: Response("The key.", ApiKeyView)},
    problems=(*AUTHENTICATED, *OF_BODIES, ApiError.INVALID_REQUEST, ApiError.NOT_FOUND),
)
READ_AUDIT = Route(
    name="read_audit",
    method=HTTPMethod.GET,
    path="/v1/operations/audit",
    summary="Read the audit log: what operators did, the newest first.",
    service=Service.OPERATIONS,
    scope=Scope.OBSERVER,
    query=AuditQuery,
    responses={200: Response("A page of entries.", AuditList)},
    problems=(*AUTHENTICATED, ApiError.INVALID_REQUEST),
)

KEY_ROUTES = (LIST_KEYS, CREATE_KEY, ROTATE_KEY, REVOKE_KEY)
AUDIT_ROUTES = (READ_AUDIT,)
