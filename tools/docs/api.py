"""The tables of docs/api.md."""

from collections.abc import Iterator

import msgspec
from msgspec import inspect

from darkroom_contracts.api import Job, JobInput, JobRequest, ModelView
from darkroom_contracts.errors import ApiError, JobErrorCode
from darkroom_contracts.routes import ROUTES, Header, Route
from tools.docs.fields import Field, code, describe, fields_of, plain, table

EVERYWHERE = (ApiError.UNAUTHENTICATED, ApiError.FORBIDDEN, ApiError.UNAVAILABLE, ApiError.INTERNAL)
"""Problems that the text above the table names for all routes."""


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


def request() -> str:
    """Return the fields of a submission."""
    rows = [
        [code(path), describe(field.kind), "required" if field.default is None else field.default, field.description]
        for path, field in _walk(JobRequest)
        if not isinstance(field.kind, inspect.StructType)
    ]
    return table(["field", "type and bounds", "default", ""], rows)


def job() -> str:
    """Return the fields of a job; those of its input are those of the request."""
    return _body(Job)


def model() -> str:
    """Return the fields of a model."""
    return _body(ModelView)


def errors() -> str:
    """Return the codes of problems."""
    return table(["status", "`code`", ""], [[str(error.status), code(error), error.meaning] for error in ApiError])


def job_errors() -> str:
    """Return the codes of failed jobs."""
    rows = [[code(error), error.retried, error.meaning] for error in JobErrorCode]
    return table(["`error.code`", "attempted again", ""], rows)


def _body(struct: type[msgspec.Struct]) -> str:
    rows = [[code(path), describe(field.kind), field.description] for path, field in _walk(struct)]
    return table(["field", "type", ""], rows)


def _walk(struct: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield each field with its path, followed by the fields of the Structs that it holds."""
    for field in fields_of(struct):
        path = prefix + field.name
        yield path, field
        held = plain(field.kind.item_type) if isinstance(field.kind, inspect.ListType) else field.kind
        if isinstance(held, inspect.StructType) and held.cls is not JobInput:
            yield from _walk(held.cls, path + ("[]." if held is not field.kind else "."))


def _endpoint(route: Route) -> str:
    return code(f"{route.method} {route.template}")


def _responses(route: Route) -> str:
    return "; ".join(f"{status}: {response.description}" for status, response in route.responses.items())


def _problems(route: Route) -> str:
    own = [problem for problem in ApiError if problem in route.problems and problem not in EVERYWHERE]
    return ", ".join(map(code, own))
