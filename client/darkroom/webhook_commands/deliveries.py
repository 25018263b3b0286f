"""`darkroom webhooks deliveries`."""

from datetime import timedelta
from itertools import islice
from typing import get_args
from uuid import UUID

import click
import msgspec

from darkroom.console import UNKNOWN, json_option, limit_option, print_fields, print_json, utc
from darkroom.desk_commands.rows import Row, is_wide, print_more, print_rows
from darkroom.webhook_commands.options import EndpointType, audience, operator_option
from darkroom.webhook_commands.session import webhook_api
from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.api.webhook_deliveries import EventType, WebhookAttempt, WebhookDelivery, WebhookDeliveryDetail
from darkroom_contracts.states import DeliveryOutcome, DeliveryStatus

A_MOMENT = timedelta(seconds=1)
"""Longer than from an event to the beginning of its first schedule."""


@click.group()
def deliveries() -> None:
    """Read the log of deliveries and their attempts."""


@deliveries.command("list")
@click.option("--endpoint", type=EndpointType(), help="Only deliveries of this endpoint; `implicit` is allowed.")
@click.option("--job", type=click.UUID, metavar="ID", help="Only deliveries of this job.")
@click.option(
    "--status", type=click.Choice([str(status) for status in DeliveryStatus]), help="Only deliveries of this status."
)
@click.option(
    "--event",
    type=click.Choice(get_args(EventType)),
    metavar="TYPE",
    help="Only deliveries of this type of event, such as job.failed.",
)
@limit_option("deliveries, the newest first")
@operator_option
@json_option
def list_(
    endpoint: EndpointId | None,
    job: UUID | None,
    status: str | None,
    event: EventType | None,
    limit: int,
    operator: bool,
    as_json: bool,
) -> None:
    """List deliveries, the newest first."""
    with webhook_api(operator=operator) as client:
        wanted = DeliveryStatus(status) if status else None
        found = client.webhook_deliveries.list(
            job=job, endpoint=endpoint, status=wanted, event=event, audience=audience(operator)
        )
        first = list(islice(found, limit + 1))
    shown = first[:limit]
    if as_json:
        print_json(shown)
    elif shown:
        print_deliveries(shown)
        if len(first) > limit:
            print_more(f"the newest {limit}")
    else:
        click.echo("There are no such deliveries.")


@deliveries.command()
@click.argument("delivery_id", metavar="ID", type=click.UUID)
@operator_option
@json_option
def show(delivery_id: UUID, operator: bool, as_json: bool) -> None:
    """Show a delivery: its attempts, why they failed, and the body."""
    with webhook_api(operator=operator) as client:
        delivery = client.webhook_deliveries.get(delivery_id)
    if as_json:
        print_json(delivery)
    else:
        _print_delivery(delivery)


def print_deliveries(shown: list[WebhookDelivery]) -> None:
    """Print a line for each delivery."""
    wide = is_wide()
    columns = ("id", "event", "status", "created", *(["attempts", "next attempt"] if wide else []))
    print_rows(columns, (_row(item, wide) for item in shown), text="last attempt")


def _row(delivery: WebhookDelivery, wide: bool) -> Row:
    made, due = delivery.attempts_made, _next(delivery)
    cells = (delivery.id, delivery.event, delivery.status, delivery.created_at, *([made, due] if wide else []))
    where = f"{made} {'attempt' if made == 1 else 'attempts'}" + (f", next {due}" if due else "")
    return Row(cells, result(delivery) or "not tried yet", where="" if wide else where)


def result(delivery: WebhookDelivery) -> str | None:
    """Return how the latest attempt ended, for people; None before the first."""
    return None if delivery.last_attempt is None else _result(delivery.last_attempt)


def _result(attempt: WebhookAttempt) -> str:
    if attempt.outcome is None:
        return "in flight"
    if attempt.error:
        return attempt.error
    return str(attempt.outcome) if attempt.status is None else f"HTTP {attempt.status}"


def _next(delivery: WebhookDelivery) -> str | None:
    if delivery.in_flight:
        return "in flight"
    return None if delivery.next_attempt_at is None else utc(delivery.next_attempt_at)


def _print_delivery(delivery: WebhookDeliveryDetail) -> None:
    print_fields(_fields(delivery))
    if delivery.attempts:
        click.echo()
        _print_attempts(delivery.attempts)
    if delivery.body is not None:
        click.echo()
        print_fields([("body", _indented(delivery.body))])


def _fields(delivery: WebhookDeliveryDetail) -> list[tuple[str, object]]:
    fields: list[tuple[str, object]] = [
        ("id", delivery.id),
        ("event", delivery.event),
        ("status", delivery.status),
        ("endpoint", delivery.endpoint_id),
        ("job", None if delivery.job_id is None else f"{delivery.job_id} version {delivery.job_version}"),
        ("url", delivery.url),
        ("created", delivery.created_at),
        ("attempts", _attempts(delivery)),
    ]
    if delivery.status == DeliveryStatus.PENDING:
        fields.append(("next attempt", _next(delivery)))
    else:
        fields.append(("finished", delivery.finished_at))
    if delivery.dead_lettered:
        fields.append(("dead letter", f"yes; `darkroom webhooks redeliver {delivery.id}` sends it again"))
    return fields


def _attempts(delivery: WebhookDelivery) -> str:
    again = delivery.scheduled_at - delivery.created_at > A_MOMENT
    since = f" since it was sent again at {utc(delivery.scheduled_at)}" if again else ""
    return f"{delivery.attempts_made}, {delivery.failures} failed{since}"


def _print_attempts(attempts: list[WebhookAttempt]) -> None:
    wide = is_wide()
    times = _TIMES if wide else ()
    columns = ("attempt", "started", "outcome", "HTTP", *times, "total ms")
    print_rows(columns, (_attempt_row(attempt, wide) for attempt in attempts), text="error", whole=True)


_TIMES = ("DNS ms", "connect", "TLS", "first byte")


def _attempt_row(attempt: WebhookAttempt, wide: bool) -> Row:
    times = [*map(_milliseconds, (attempt.dns_ms, attempt.connect_ms, attempt.tls_ms, attempt.first_byte_ms))]
    outcome, total = attempt.outcome or "in flight", _milliseconds(attempt.total_ms)
    error = attempt.error if attempt.outcome != DeliveryOutcome.SUCCEEDED else None
    cells = (attempt.number, attempt.started_at, outcome, attempt.status, *(times if wide else []), total)
    where = ", ".join(f"{name} {time}" for name, time in zip(_TIMES, times, strict=True))
    return Row(cells, error or "", where="" if wide else where)


def _milliseconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


def _indented(body: str) -> str:
    return msgspec.json.format(body, indent=2)
