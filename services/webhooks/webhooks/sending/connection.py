"""An HTTP/1.1 connection to an origin, used by one request at a time."""

from contextlib import aclosing
from time import monotonic

import h11
import httpcore2

from chassis.targets import Target
from webhooks.sending.outcome import FailureKind, Progress, Response, SendError
from webhooks.sending.request import origin_of
from webhooks.sending.stream import Stream

MAX_BODY = 16 * 1024
KEPT_HEADERS = frozenset({"content-type", "location", "retry-after"})
MAX_HEADER_VALUE = 1_000
MAX_PIECES = 128
"""Of a body; each costs as much time as many bytes do."""
MAX_INFORMATIONAL = 16
"""Responses before the final one, such as 103 (RFC 9110, 15.2)."""


class _Http(httpcore2.AsyncHTTP11Connection):
    """The protocol, with bounds that fit the short responses of receivers."""

    READ_NUM_BYTES = 8 * 1024
    MAX_INCOMPLETE_EVENT_SIZE = 16 * 1024
    """The longest head of a response, and the longest line of a chunked body; a read beyond it may complete them.
    Parsing that much of short headers takes up to 10 ms, in which nothing else is sent."""

    _informational = 0

    @property
    def has_unread(self) -> bool:
        """Whether bytes were read that belong to no response."""
        return bool(self._h11_state.trailing_data[0])

    async def _receive_event(self, timeout: float | None = None) -> h11.Event | type[h11.PAUSED]:
        event = await super()._receive_event(timeout)
        self._informational = self._informational + 1 if isinstance(event, h11.InformationalResponse) else 0
        if self._informational > MAX_INFORMATIONAL:
            raise httpcore2.RemoteProtocolError("too many informational responses")
        return event


class Connection:
    """An open connection."""

    def __init__(self, target: Target, stream: Stream) -> None:
        self._target = target
        self._stream = stream
        self._http = _Http(origin_of(target), stream)
        self._opened_at = monotonic()

    @property
    def origin(self) -> str:
        """The origin of the targets that this connection leads to."""
        return self._target.origin

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return monotonic() - self._opened_at

    @property
    def is_reusable(self) -> bool:
        """Whether another request can be sent: the last response was read to its end, and neither side closed.

        A receiver that has sent more than its response is not asked again here: what is left, such as a second response
        or a body where there must be none, would be taken for the answer to the next request.
        """
        has_unread = self._http.has_unread or self._stream.has_unread
        return self._http.is_idle() and not self._stream.is_closed and not has_unread

    @property
    def has_begun_to_answer(self) -> bool:
        """Whether a byte of the response to the latest request was received."""
        return self._stream.first_byte_at is not None

    async def exchange(self, request: httpcore2.Request, progress: Progress) -> Response:
        """Send a request and return its response. Raises SendError."""
        progress.stage = "the response was awaited"
        self._stream.expect_response()
        started = monotonic()
        try:
            return await self._receive(await self._http.handle_async_request(request), progress)
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as error:
            raise self._failure(error) from error
        finally:
            if self._stream.first_byte_at is not None:
                progress.timings.first_byte = self._stream.first_byte_at - started

    def close(self) -> None:
        """Close at once."""
        self._stream.close()

    async def _receive(self, response: httpcore2.Response, progress: Progress) -> Response:
        progress.stage = "the response's body was being received"
        body, truncated = await _read_capped(response)
        await response.aclose()
        return Response(response.status, _kept_headers(response), body, truncated, progress.timings)

    def _failure(self, error: Exception) -> SendError:
        host = self._target.host
        if isinstance(error, httpcore2.NetworkError) or self._stream.has_ended:
            return SendError(FailureKind.RESET, f"{host} closed the connection before its response was complete.")
        return SendError(
            FailureKind.PROTOCOL,
            f"The response of {host} is not valid HTTP/1.1, or its head is longer than 16 kB, or more than"
            f" {MAX_INFORMATIONAL} informational responses (1xx) came before it.",
        )


async def _read_capped(response: httpcore2.Response) -> tuple[bytes, bool]:
    """Return the body, or its beginning of at most MAX_BODY bytes and MAX_PIECES pieces, and whether it goes on."""
    body, pieces = bytearray(), 0
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            if pieces == MAX_PIECES:
                return bytes(body), True
            body += chunk
            pieces += 1
            if len(body) > MAX_BODY:
                return bytes(body[:MAX_BODY]), True
    return bytes(body), False


def _kept_headers(response: httpcore2.Response) -> dict[str, str]:
    pairs = ((name.decode("latin-1").lower(), value) for name, value in response.headers)
    return {name: value.decode("latin-1")[:MAX_HEADER_VALUE] for name, value in pairs if name in KEPT_HEADERS}
