"""Endpoints and their statistics as tables, for people."""

from collections.abc import Iterable, Sequence

import msgspec

from darkroom.console import UNKNOWN, print_fields, print_json, utc
from darkroom.desk_commands.rows import Row, is_wide, print_rows
from darkroom_contracts.api.webhook_endpoints import (
    WebhookEndpoint,
    WebhookEndpointStats,
    WebhookEndpointWithSecret,
)
from darkroom_contracts.states import EndpointStatus
from darkroom_contracts.webhooks import TERMINAL_EVENTS, WebhookEvent

Fields = list[tuple[str, object]]


def print_endpoints(found: Sequence[WebhookEndpoint]) -> None:
    """Print a line for each endpoint."""
    wide = is_wide()
    columns = ("id", *(["url"] if wide else []), "status", "events")
    print_rows(columns, (_row(item, wide) for item in found), text="description")


def print_endpoint(endpoint: WebhookEndpoint, as_json: bool) -> None:
    """Print an endpoint, and its secret only where it is a WebhookEndpointWithSecret."""
    if as_json:
        print_json(endpoint)
    else:
        print_fields([*_fields(endpoint), *_secrets(endpoint)])


def without_secret(endpoint: WebhookEndpointWithSecret) -> WebhookEndpoint:
    return msgspec.convert(endpoint, WebhookEndpoint, from_attributes=True)


def print_stats(found: WebhookEndpointStats) -> None:
    """Print the statistics of an endpoint."""
    share = None if found.success_share is None else f"{found.success_share:.1%}".replace("%", " %")
    print_fields(
        [
            ("since", found.since),
            ("deliveries", _counts(found.deliveries)),
            ("attempts", _counts(found.attempts)),
            ("delivered", share),
            ("event to delivery", _percentiles(found.delivery_ms_p50, found.delivery_ms_p95)),
            ("attempt", _percentiles(found.attempt_ms_p50, found.attempt_ms_p95)),
            ("oldest waiting", found.oldest_pending_at),
        ]
    )


def _row(endpoint: WebhookEndpoint, wide: bool) -> Row:
    url = _url(endpoint)
    cells = (endpoint.id, *([url] if wide else []), _short_status(endpoint), _short_events(endpoint))
    return Row(cells, endpoint.description, where="" if wide else url)


def _fields(endpoint: WebhookEndpoint) -> Fields:
    return [
        ("id", endpoint.id),
        ("url", _url(endpoint)),
        ("status", _status(endpoint)),
        ("events", _events(endpoint)),
        ("metadata", _lines(f"{key}={value}" for key, value in endpoint.metadata_filter.items())),
        ("headers", ", ".join(endpoint.header_names) or UNKNOWN),
        ("ed25519", "yes" if endpoint.ed25519 else "no"),
        ("description", endpoint.description or UNKNOWN),
        ("audience", endpoint.audience),
        ("failing since", endpoint.failing_since),
        ("previous secret", _until(endpoint)),
        ("created", endpoint.created_at),
        ("updated", endpoint.updated_at),
    ]


def _secrets(endpoint: WebhookEndpoint) -> Fields:
    if not isinstance(endpoint, WebhookEndpointWithSecret):
        return []
    public: Fields = [("public key", endpoint.public_key)] if endpoint.public_key else []
    return [("secret", endpoint.secret), *public]


def _url(endpoint: WebhookEndpoint) -> str:
    return endpoint.url or "implicit: the job's"


def _events(endpoint: WebhookEndpoint) -> str:
    return ", ".join(endpoint.events) or "the job's"


def _short_events(endpoint: WebhookEndpoint) -> str:
    """Return the default at creation as a phrase: four events would make a table too wide."""
    is_default = set(endpoint.events) == set(TERMINAL_EVENTS)
    return f"all but {WebhookEvent.STARTED}" if is_default else _events(endpoint)


def _short_status(endpoint: WebhookEndpoint) -> str:
    is_failing = endpoint.failing_since is not None and endpoint.status != EndpointStatus.DISABLED
    return f"{endpoint.status}, failing" if is_failing else endpoint.status


def _status(endpoint: WebhookEndpoint) -> str:
    return f"{endpoint.status}: {endpoint.disabled_reason}" if endpoint.disabled_reason else endpoint.status


def _until(endpoint: WebhookEndpoint) -> str | None:
    until = endpoint.previous_secret_until
    return None if until is None else f"signs too until {utc(until)}"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines) or UNKNOWN


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or UNKNOWN


def _percentiles(median: float | None, p95: float | None) -> str | None:
    return None if median is None or p95 is None else f"{median:,.1f} ms at the median, {p95:,.1f} ms at p95"
