"""A request: what the caller gives is validated, what frames the request is the sender's own."""

import re
from collections.abc import Iterator, Mapping

import httpcore2

from chassis.targets import Target
from webhooks.sending.outcome import FailureKind, SendError

DROPPED_HEADERS = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that concern the connection or the framing, and are not the caller's to give (RFC 9110, 7.6.1 and 10.1)."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110, 5.6.2)."""
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
"""Visible ASCII characters, with blanks between them (RFC 9110, 5.5, without the obsolete bytes beyond ASCII)."""


def build_request(target: Target, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
    """Return a POST with the given headers, of which the sender's own take precedence. Raises SendError."""
    origin = origin_of(target)
    url = httpcore2.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target.path.encode())
    pairs = [(name.encode(), value.encode()) for name, value in _headers(target, headers, body).items()]
    return httpcore2.Request(b"POST", url, headers=pairs, content=body)


def origin_of(target: Target) -> httpcore2.Origin:
    """Return the target's origin, as httpcore2 has it."""
    return httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port)


def _headers(target: Target, given: Mapping[str, str], body: bytes) -> dict[str, str]:
    own = {"host": target.authority, "content-length": str(len(body)), "accept-encoding": "identity"}
    return {"host": "", "user-agent": "Darkroom"} | dict(_validated(given)) | own


def _validated(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the headers that may be sent, with names in lower case. Raises SendError for a malformed one."""
    for name, value in headers.items():
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise SendError(
                FailureKind.PROTOCOL,
                "A header of the request is malformed; its name must be a token, its value visible ASCII characters.",
            )
        if (lower := name.lower()) not in DROPPED_HEADERS:
            yield lower, value
