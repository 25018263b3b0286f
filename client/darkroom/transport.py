"""Requests to the HTTP API with one key: retries, and problems as errors."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx2
import msgspec
from msgspec.structs import replace

from darkroom.errors import ApiError, CutOffError, NotTextError, UnreachableError
from darkroom_contracts.api import Problem, encode
from darkroom_contracts.routes import Route

T = TypeVar("T")
P = TypeVar("P", bound="Page")

TRIES = 4
FIRST_PAUSE_SECONDS = 0.5
LONGEST_RETRY_AFTER_SECONDS = 30.0
TRY_AGAIN = frozenset({429, 502, 503, 504})
NOT_CARRIED_OUT = frozenset({429})
"""Those of them that say that the request had no effect."""
NOT_TEXT = "A text of the request holds bytes that are not UTF-8; enter it again."
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
LONGEST_LINE_BYTES = 4 * 1024 * 1024
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class Page(Protocol):
    """A page of a list."""

    @property
    def next_cursor(self) -> str | None:
        """The query's `cursor` for the page that follows; None if it is the last one."""


class Transport:
    """The one HTTP client of a Client, retrying where that may help: four tries in all, with growing pauses.

    Lost connections and the statuses 429, 502, 503 and 504 are retried, not before Retry-After, and not at all where
    that is more than 30 s. A request whose repetition would have a further effect is sent `once`: it is retried only
    where it is certain that the last try had none.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_seconds: float,
        transport: httpx2.BaseTransport | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx2.Client(base_url=url, timeout=timeout_seconds, transport=transport)
        # Not a default header: pictures are fetched by signed URLs, which allow no second authorization.
        self._authorization = {"Authorization": f"Bearer {api_key}"}
        self.sleep = sleep

    def close(self) -> None:
        self._http.close()

    def call(self, route: Route, expected: type[T], **request: Any) -> T:
        """Send as `execute` does and return the decoded body. Raises UnreachableError and ApiError."""
        return _decode(self.execute(route, **request), expected)

    def pages(self, route: Route, expected: type[P], query: msgspec.Struct) -> Iterator[P]:
        """Yield the page of a query and those that follow, each requested when it is needed. Raises as `call` does."""
        page = self.call(route, expected, query=query)
        yield page
        while page.next_cursor:
            page = self.call(route, expected, query=replace(query, cursor=page.next_cursor))
            yield page

    def execute(
        self,
        route: Route,
        *,
        path: Mapping[str, object] | None = None,
        query: Any = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> bytes:
        """Send a request of the API and return the response's body. Raises UnreachableError and ApiError.

        `path` has the route's parameters, each a segment whatever it contains. `query` is a mapping or a Struct, whose
        parameters are left out where they are None. `body` is sent as JSON.
        """
        answer = self.send(
            route.method,
            route.template.format(**_segments(path or {})),
            once=once,
            params=_parameters(query),
            content=None if body is None else _encoded(body),
            headers={**self._authorization, **_json(body), **(headers or {})},
        )
        if not answer.is_success:
            raise ApiError(_problem(answer))
        return answer.content

    def lines(self, route: Route, *, query: Any) -> Iterator[bytes]:
        """Yield the lines of a streamed response, without their ends, as they arrive.

        Raises UnreachableError and ApiError before the first line, and CutOffError where the response breaks off: lines
        that were yielded are complete.
        """
        answer = self.send(
            route.method, route.template, stream=True, params=_parameters(query), headers=self._authorization
        )
        try:
            if not answer.is_success:
                answer.read()
                raise ApiError(_problem(answer))
            yield from _lines(answer)
        except httpx2.TransportError as error:
            raise CutOffError(f"The response was cut off: {_reason(error)}.") from error
        finally:
            answer.close()

    def send(
        self, method: str, url: str, *, once: bool = False, stream: bool = False, **request: Any
    ) -> httpx2.Response:
        """Send any request, without the key, and return any response. Raises UnreachableError.

        The body of a `stream` is not read yet; its response must be closed.
        """
        pause = FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(TRIES)):
            wait = 0.0
            try:
                answer = self._http.send(self._http.build_request(method, url, **request), stream=stream)
            except httpx2.TransportError as error:
                if not tries_left or not _may_repeat(error, once):
                    raise UnreachableError(_unreachable(self._http.base_url, error, once)) from error
            else:
                wait = _retry_after(answer)
                may_help = answer.status_code in (NOT_CARRIED_OUT if once else TRY_AGAIN)
                if not tries_left or not may_help or wait > LONGEST_RETRY_AFTER_SECONDS:
                    return answer
                answer.close()
            self.sleep(max(pause, wait))
            pause *= 2
        raise AssertionError("the last try returns or raises")


def _segments(path: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters of a path, encoded: a slash or a question mark in one must not lead to another route."""
    try:
        return {name: quote(str(value), safe="") for name, value in path.items()}
    except UnicodeEncodeError as error:
        raise NotTextError(NOT_TEXT) from error


def _parameters(query: Any) -> dict[str, str]:
    """Return the parameters as text."""
    given: dict[str, object] = msgspec.to_builtins(query or {})
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encoded(body: Any) -> bytes:
    try:
        return encode(body)
    except UnicodeEncodeError as error:
        raise NotTextError(NOT_TEXT) from error


def _json(body: Any) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _may_repeat(error: httpx2.TransportError, once: bool) -> bool:
    return not isinstance(error, httpx2.UnsupportedProtocol) and (not once or isinstance(error, NOT_SENT))


def _unreachable(url: httpx2.URL, error: httpx2.TransportError, once: bool) -> str:
    reason = _reason(error)
    if once and not isinstance(error, (*NOT_SENT, httpx2.UnsupportedProtocol)):
        return (
            f"The response of {url} was lost: {reason}. The request may have been carried out; look before repeating."
        )
    return f"{url} can't be reached: {reason}. Check the URL, and that the server is running."


def _reason(error: httpx2.TransportError) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _lines(answer: httpx2.Response) -> Iterator[bytes]:
    """Divide a body at line feeds alone: JSON may contain the other characters that end a line of text."""
    rest = b""
    for chunk in answer.iter_bytes():
        *complete, rest = (rest + chunk).split(b"\n")
        yield from complete
        if len(rest) > LONGEST_LINE_BYTES:
            raise CutOffError(f"A line of the response is longer than {LONGEST_LINE_BYTES:,} bytes.")
    if rest:
        raise CutOffError("The response was cut off within a line.")


def _decode(body: bytes, expected: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=expected)
    except UNDECODABLE as error:
        raise UnreachableError(f"Unexpected response ({error}); the server may run an incompatible version.") from error


def _problem(answer: httpx2.Response) -> Problem:
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except UNDECODABLE as error:
        raise UnreachableError(
            f"Unexpected response (HTTP {answer.status_code}); check that the URL is the address of a Darkroom."
        ) from error


def _retry_after(answer: httpx2.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
