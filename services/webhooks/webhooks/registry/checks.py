"""What an endpoint may be set to, beyond the types of its fields. What is refused is a 422 that names the field."""

from collections.abc import Mapping, Sequence

from chassis.decoding import invalid
from chassis.targets import Policy, TargetRefusedError, parse_target
from darkroom_contracts.api.webhook_endpoints import MAX_HEADER_BYTES
from darkroom_contracts.states import EndpointAudience
from darkroom_contracts.webhooks import TERMINAL_EVENTS, OperatorEvent, WebhookEvent

EVENTS: Mapping[EndpointAudience, tuple[str, ...]] = {
    EndpointAudience.CLIENT: tuple(WebhookEvent),
    EndpointAudience.OPERATOR: tuple(OperatorEvent),
}
"""The events that an endpoint of an audience can ask for."""
DEFAULT_EVENTS: Mapping[EndpointAudience, tuple[str, ...]] = {
    EndpointAudience.CLIENT: TERMINAL_EVENTS,
    EndpointAudience.OPERATOR: tuple(OperatorEvent),
}
_DENIED = frozenset(
    {
        *("host", "user-agent", "accept-encoding", "expect"),
        *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"),
        *("proxy-authenticate", "proxy-authorization", "proxy-connection"),
    }
)
"""Headers that the sender sets itself, or that concern a connection alone (RFC 9110, section 7.6.1)."""
_DENIED_PREFIXES = ("content-", "webhook-")


def check_url(url: str, policy: Policy) -> None:
    """Check a URL's spelling and the address in it; the addresses of a name are checked at each attempt.

    Raises ProblemError.
    """
    try:
        parse_target(url, policy)
    except TargetRefusedError as error:
        raise invalid("url", str(error)) from error


def check_events(events: Sequence[str], audience: EndpointAudience) -> tuple[str, ...]:
    """Return the events, each once. Raises ProblemError for one that the audience does not have."""
    known = EVENTS[audience]
    for position, event in enumerate(events):
        if event not in known:
            raise invalid(f"events[{position}]", f"must be one of {', '.join(known)}")
    return tuple(dict.fromkeys(map(str, events)))


def check_metadata_filter(metadata_filter: Mapping[str, str], audience: EndpointAudience) -> None:
    """Raise ProblemError for a filter of operators' events, which have no metadata."""
    if metadata_filter and audience is EndpointAudience.OPERATOR:
        raise invalid("metadata_filter", "must be empty for operators, whose events have no metadata")


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return static headers with their names in lower case. Raises ProblemError, which quotes no value."""
    checked: dict[str, str] = {}
    for given, value in headers.items():
        name, field = given.lower(), f"headers.{given}"
        if _is_denied(name):
            raise invalid(field, "must not be set; the service sets it itself, or it concerns the connection")
        if name in checked:
            raise invalid(field, "must be set once; the case of names does not matter")
        checked[name] = value
    if sum(len(name) + len(value) for name, value in checked.items()) > MAX_HEADER_BYTES:
        raise invalid("headers", f"must not have more than {MAX_HEADER_BYTES:,} bytes in all")
    return checked


def _is_denied(name: str) -> bool:
    """Return whether a receiver may read a header as one that must not be set: CGI and WSGI read `_` as `-`."""
    read = name.replace("_", "-")
    return read in _DENIED or read.startswith(_DENIED_PREFIXES)
