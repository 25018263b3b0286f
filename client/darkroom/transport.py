"""Requests to the HTTP API with one key: retries, and problems as errors."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

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
LARGEST_BODY_BYTES = 256 * 1024 * 1024
"""More than the largest picture that Darkroom can store, and than any page of a list."""
SLOWEST_BYTES_PER_SECOND = 1024
"""A body that arrives more slowly, beyond the timeout, is given up: a timeout alone bounds only each pause in it."""
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
MALFORMED = (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, UnicodeError)
"""The request can't be sent as it is. UnicodeError: a host that no name can be."""
FAILURES = (httpx2.TransportError, httpx2.DecodingError, *MALFORMED)
_ENCODED = {"content-encoding", "content-length", "transfer-encoding"}


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
        """Set up the HTTP client. Raises UnreachableError for a malformed URL and for an unusable environment."""
        self._timeout_seconds = timeout_seconds
        self._is_proxied = transport is None and bool(getproxies())
        try:
            self._http = httpx2.Client(base_url=url, timeout=timeout_seconds, transport=transport)
        except (httpx2.InvalidURL, ValueError, ImportError, OSError) as error:
            raise UnreachableError(
                f"No connection can be set up: {error}. Check the URL, and what the environment names: proxies"
                " (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) and certificates (SSL_CERT_FILE)."
            ) from error
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
        except (httpx2.TransportError, httpx2.DecodingError) as error:
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
                answer = self._http.send(self._http.build_request(method, url, **request), stream=True)
                answer = answer if stream else _read(answer, self._timeout_seconds)
            except FAILURES as error:
                if not tries_left or not _may_repeat(error, once):
                    raise UnreachableError(self._unreachable(error, once)) from error
            else:
                wait = _retry_after(answer)
                may_help = answer.status_code in (NOT_CARRIED_OUT if once else TRY_AGAIN)
                if not tries_left or not may_help or wait > LONGEST_RETRY_AFTER_SECONDS:
                    return answer
                answer.close()
            self.sleep(max(pause, wait))
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: Exception, once: bool) -> str:
        url, reason = self._http.base_url.copy_with(userinfo=b""), _reason(error)
        if once and not isinstance(error, (*NOT_SENT, *MALFORMED)):
            return (
                f"The response of {url} was lost: {reason}. The request may have been carried out; look before"
                " repeating."
            )
        is_proxied = self._is_proxied and not proxy_bypass(url.host)
        proxy = " the proxy that the environment names," if is_proxied else ""
        return f"{url} can't be reached: {reason}. Check the URL,{proxy} and that the server is running."


def _segments(path: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters of a path, encoded: a slash or a question mark in one must not lead to another route."""
    try:
        return {name: quote(str(value), safe="") for name, value in path.items()}
    except UnicodeEncodeError as error:
        raise NotTextError(NOT_TEXT) from error


def _parameters(query: Any) -> dict[str, str]:
    """Return the parameters as text."""
    given: dict[str, object] = msgspec.to_builtins(query or {})
    found = {name: _text(value) for name, value in given.items() if value is not None}
    _encoded(found)
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encoded(body: Any) -> bytes:
    try:
        return encode(body)
    except UnicodeEncodeError as error:
        raise NotTextError(NOT_TEXT) from error


def _json(body: Any) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _read(answer: httpx2.Response, seconds: float) -> httpx2.Response:
    """Return the response with its whole body, decoded. Raises TransportError for one too large or too slow."""
    began, body = time.monotonic(), bytearray()
    try:
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > LARGEST_BODY_BYTES:
                raise httpx2.DecodingError(f"the response is larger than {LARGEST_BODY_BYTES:,} bytes")
            if time.monotonic() - began > seconds + len(body) / SLOWEST_BYTES_PER_SECOND:
                raise httpx2.ReadTimeout("the response arrives too slowly")
    finally:
        answer.close()
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in _ENCODED]
    return httpx2.Response(answer.status_code, headers=headers, content=bytes(body))


def _may_repeat(error: Exception, once: bool) -> bool:
    if isinstance(error, (httpx2.DecodingError, *MALFORMED)):
        return False
    return not once or isinstance(error, NOT_SENT)


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.LocalProtocolError):
        return "a header holds characters that are not allowed"  # not quoted: it may be the key
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
