"""The tables of docs/api.md."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import inspect

from darkroom_contracts.api import Job, JobInput, JobRequest, ModelView
from darkroom_contracts.api.audit import AuditEntry
from darkroom_contracts.api.keys import ApiKeyRequest, NewApiKey, RevocationRequest, RotationRequest
from darkroom_contracts.api.webhook_deliveries import (
    RecoverReply,
    RecoverRequest,
    WebhookAttempt,
    WebhookDeliveryDetail,
)
from darkroom_contracts.api.webhook_endpoints import (
    WebhookEndpointChange,
    WebhookEndpointRequest,
    WebhookEndpointStats,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.errors import ApiError, JobErrorCode
from darkroom_contracts.routes import ROUTES, Header, Route
from tools.docs.fields import Field, code, describe, fields_of, plain, table

EVERYWHERE = (ApiError.UNAUTHENTICATED, ApiError.FORBIDDEN, ApiError.UNAVAILABLE, ApiError.INTERNAL)
"""Problems that the text above the table names for all routes."""
_SHOWN_ELSEWHERE = (JobInput, WebhookAttempt)
"""Structs that have a table of their own."""


def routes() -> str:
    """Return every endpoint with its response and its problems."""
    rows = [[_endpoint(route), route.summary, _responses(route), _problems(route)] for route in ROUTES]
    return table(["endpoint", "", "response", "problems"], rows)


def headers() -> str:
    """Return the headers of requests and responses."""
    rows: dict[tuple[Header, str], list[str]] = {}
    for route in ROUTES:
        sent = [(header, "request") for header in route.request_headers]
        received = [(header, "response") for response in route.responses.values() for header in response.headers]
        for key in sent + received:
            rows.setdefault(key, []).append(_endpoint(route))
    return table(
        ["header", "of the", "", "endpoints"],
        [[code(header.name), of, header.description, ", ".join(users)] for (header, of), users in rows.items()],
    )


def queries() -> str:
    """Return the parameters of queries."""
    rows = [
        [_endpoint(route), *row]
        for route in ROUTES
        if route.query is not None
        for row in _given(fields_of(route.query))
    ]
    return table(["endpoint", "parameter", "type and bounds", "default", ""], rows)


def request() -> str:
    """Return the fields of a submission."""
    return _request(JobRequest)


def job() -> str:
    """Return the fields of a job; those of its input are those of the request."""
    return _body(Job)


def model() -> str:
    """Return the fields of a model."""
    return _body(ModelView)


def endpoint_request() -> str:
    """Return the fields of the creation of a webhook endpoint."""
    return _request(WebhookEndpointRequest)


def endpoint_change() -> str:
    """Return the fields of a change of a webhook endpoint."""
    rows = [[code(path), describe(field.kind), field.description] for path, field in _walk(WebhookEndpointChange)]
    return table(["field", "type and bounds", ""], rows)


def endpoint() -> str:
    """Return the fields of a webhook endpoint."""
    return _body(WebhookEndpointWithSecret)


def endpoint_stats() -> str:
    """Return the fields of the statistics of a webhook endpoint."""
    return _body(WebhookEndpointStats)


def delivery() -> str:
    """Return the fields of a webhook delivery."""
    return _body(WebhookDeliveryDetail)


def delivery_attempt() -> str:
    """Return the fields of an attempt of a webhook delivery."""
    return _body(WebhookAttempt)


def recovery() -> str:
    """Return the fields of the request of a recovery."""
    return _request(RecoverRequest)


def recovered() -> str:
    """Return the fields of the response to a recovery."""
    return _body(RecoverReply)


def key_request() -> str:
    """Return the fields of the creation of an API key."""
    return _request(ApiKeyRequest)


def key_rotation() -> str:
    """Return the fields of the rotation of an API key."""
    return _request(RotationRequest)


def key_revocation() -> str:
    """Return the fields of the revocation of an API key."""
    return _request(RevocationRequest)


def key() -> str:
    """Return the fields of a new API key."""
    return _body(NewApiKey)


def audit_entry() -> str:
    """Return the fields of an entry of the audit log."""
    return _body(AuditEntry)


def errors() -> str:
    """Return the codes of problems."""
    return table(["status", "`code`", ""], [[str(error.status), code(error), error.meaning] for error in ApiError])


def job_errors() -> str:
    """Return the codes of failed jobs."""
    rows = [[code(error), error.retried, error.meaning] for error in JobErrorCode]
    return table(["`error.code`", "attempted again", ""], rows)


def _request(struct: type[msgspec.Struct]) -> str:
    fields = (field._replace(name=path) for path, field in _walk(struct))
    return table(["field", "type and bounds", "default", ""], list(_given(fields)))


def _given(fields: Iterable[Field]) -> Iterator[list[str]]:
    """Yield the rows of what a request gives: name, type with its bounds, default and description."""
    for field in fields:
        if not isinstance(field.kind, inspect.StructType):
            default = "required" if field.default is None else field.default
            yield [code(field.name), describe(field.kind), default, field.description]


def _body(struct: type[msgspec.Struct]) -> str:
    rows = [[code(path), describe(field.kind), field.description] for path, field in _walk(struct)]
    return table(["field", "type", ""], rows)


def _walk(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield each field with its path, followed by the fields of the Structs that it holds."""
    for field in fields_of(struct):
        path = prefix + field.name
        yield path, field
        held = plain(field.kind.item_type) if isinstance(field.kind, inspect.ListType) else field.kind
        if isinstance(held, inspect.StructType) and held.cls not in _SHOWN_ELSEWHERE:
            yield from _walk(held.cls, path + ("[]." if held is not field.kind else "."))


def _endpoint(route: Route) -> str:
    return code(f"{route.method} {route.template}")


def _responses(route: Route) -> str:
    return "; ".join(f"{status}: {response.description}" for status, response in route.responses.items())


def _problems(route: Route) -> str:
    own = [problem for problem in ApiError if problem in route.problems and problem not in EVERYWHERE]
    return ", ".join(map(code, own))
