"""Errors as problem details, RFC 9457: one exception to raise, one table that translates all others."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec
import structlog
from starlette.requests import HTTPConnection
from starlette.responses import Response

from chassis.errors import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from chassis.trace import trace_id
from darkroom_contracts.api import Problem, encode
from darkroom_contracts.errors import ApiError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://darkroom.dev/problems/"
RETRY_AFTER_SECONDS = 5
BUSY_RETRY_AFTER_SECONDS = 1


class ProblemError(Exception):
    """An error that is answered with problem details. Endpoints, and what they call, raise it.

    `detail` says what happened, then what to do.
    """

    def __init__(
        self,
        code: ApiError,
        detail: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers
        self.problem = Problem(
            type=TYPE_PREFIX + code,
            title=HTTPStatus(code.status).phrase,
            status=code.status,
            code=code,
            detail=detail,
            field=field if field is not None else msgspec.UNSET,
        )

    def response(self) -> Response:
        return Response(encode(self.problem), self.problem.status, self.headers, MEDIA_TYPE)


def unavailable(detail: str, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> ProblemError:
    """Return a 503 with Retry-After."""
    return ProblemError(ApiError.UNAVAILABLE, detail, headers={"Retry-After": str(retry_after_seconds)})


def problem_of(connection: HTTPConnection, error: Exception) -> ProblemError:
    """Return the problem that answers an error which an endpoint raised, and log what people cannot see in it."""
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)(connection, error)


def _problem_itself(connection: HTTPConnection, error: Exception) -> ProblemError:
    assert isinstance(error, ProblemError)
    return error


# An endpoint whose earlier statements may stand when a later one fails answers for itself.
def _database_unavailable(connection: HTTPConnection, error: Exception) -> ProblemError:
    assert isinstance(error, DatabaseUnavailableError)
    log.warning("database unavailable", error=str(error), in_doubt=error.in_doubt, path=connection.url.path)
    if connection.scope.get("method", "GET") in _SAFE_METHODS:
        return unavailable("The database is unavailable. Try again.")
    return unavailable(_IN_DOUBT if error.in_doubt else _NOT_SENT)


def _database_busy(connection: HTTPConnection, error: Exception) -> ProblemError:
    log.debug("database busy", error=str(error), path=connection.url.path)  # frequent, and counted by a metric
    return unavailable("Too many requests at once; nothing was done. Try again.", BUSY_RETRY_AFTER_SECONDS)


def _transaction_clash(connection: HTTPConnection, error: Exception) -> ProblemError:
    log.warning("transactions clashed", error=str(error), path=connection.url.path)
    detail = "Another request changed the same data at the same time; nothing was done. Try again."
    return unavailable(detail, BUSY_RETRY_AFTER_SECONDS)


def _bug(connection: HTTPConnection, error: Exception) -> ProblemError:
    log.error("request failed", path=connection.url.path, exc_info=error)
    trace = trace_id(connection.scope["traceparent"])
    return ProblemError(ApiError.INTERNAL, f"An internal error occurred. Report it with the trace id {trace}.")


_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_NOT_SENT = "The database is unavailable; nothing was done. Try again."
_IN_DOUBT = "The database did not respond, so the request may or may not have been done. Check before you repeat it."

_PROBLEMS: dict[type[Exception], Callable[[HTTPConnection, Exception], ProblemError]] = {
    ProblemError: _problem_itself,
    DatabaseUnavailableError: _database_unavailable,
    DatabaseBusyError: _database_busy,
    TransactionClashError: _transaction_clash,
    Exception: _bug,
}
