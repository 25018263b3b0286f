"""Errors as RFC 9457 problem+json, everywhere: one exception to raise, one table of answers."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chassis.postgres import DatabaseBusyError, DatabaseUnavailableError, TransactionClashError
from darkroom_contracts.api import Problem
from darkroom_contracts.errors import ApiError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://darkroom.dev/problems/"
RETRY_AFTER_SECONDS = 5
BUSY_RETRY_AFTER_SECONDS = 1

_CODES = {
    401: ApiError.UNAUTHENTICATED,
    403: ApiError.FORBIDDEN,
    404: ApiError.NOT_FOUND,
    405: ApiError.METHOD_NOT_ALLOWED,
    413: ApiError.BODY_TOO_LARGE,
    415: ApiError.UNSUPPORTED_MEDIA_TYPE,
}


class ProblemError(Exception):
    """An answer that is an error. Raise it from anywhere under an endpoint."""

    def __init__(
        self,
        status: int,
        code: ApiError,
        detail: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.problem = Problem(
            type=TYPE_PREFIX + code,
            title=HTTPStatus(status).phrase,
            status=status,
            code=code,
            detail=detail,
            field=field if field is not None else msgspec.UNSET,
        )

    def response(self) -> Response:
        return Response(msgspec.json.encode(self.problem), self.status, self.headers, MEDIA_TYPE)


def unavailable(detail: str, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> ProblemError:
    """503 with Retry-After."""
    return ProblemError(503, ApiError.UNAVAILABLE, detail, headers={"Retry-After": str(retry_after_seconds)})


def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, ApiError.INVALID_REQUEST)
    headers = dict(error.headers) if error.headers else None
    return ProblemError(error.status_code, code, _DETAILS.get(code, error.detail), headers=headers).response()


# An endpoint whose earlier writes may stand when a later statement fails answers for itself; these speak of one.
def _answer_database_away(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseUnavailableError)
    log.warning("database unavailable", error=str(error), in_doubt=error.in_doubt, path=request.url.path)
    if request.method in _READING:
        return unavailable("The database can't be reached. Try again.").response()
    return unavailable(_IN_DOUBT if error.in_doubt else _NOT_SENT).response()


def _answer_database_busy(request: Request, error: Exception) -> Response:
    log.debug("database busy", error=str(error), path=request.url.path)  # a metric counts them; they come in floods
    detail = "Too many requests at once; nothing was done. Try again."
    return unavailable(detail, BUSY_RETRY_AFTER_SECONDS).response()


def _answer_clash(request: Request, error: Exception) -> Response:
    log.warning("transactions clashed", error=str(error), path=request.url.path)
    detail = "Another request changed the same thing at the same time; nothing was done. Try again."
    return unavailable(detail, BUSY_RETRY_AFTER_SECONDS).response()


def _answer_bug(request: Request, error: Exception) -> Response:
    """The answer to an exception that nobody expected; the logs tell it whole."""
    log.error("request failed", path=request.url.path, exc_info=error)
    return ProblemError(500, ApiError.INTERNAL, "Something broke on our side; the logs know more.").response()


_READING = {"GET", "HEAD", "OPTIONS"}
_NOT_SENT = "The database can't be reached; nothing was done. Try again."
_IN_DOUBT = "The database did not answer, so this may or may not have been done. Look before you send it again."

_DETAILS = {
    ApiError.NOT_FOUND: "There is nothing at this address.",
    ApiError.METHOD_NOT_ALLOWED: "This address does not take that method; the Allow header lists those it takes.",
}

_ANSWERS: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    ProblemError: _answer_problem,
    HTTPException: _answer_http_exception,
    DatabaseUnavailableError: _answer_database_away,
    DatabaseBusyError: _answer_database_busy,
    TransactionClashError: _answer_clash,
    Exception: _answer_bug,
}


def answer(request: Request, error: Exception) -> Response:
    """Return the answer to whatever an endpoint raised."""
    return next(_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS)(request, error)
