"""`darkroom webhooks redeliver | recover`: send deliveries again."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import CommandError, json_option, print_json, status_line, utc
from darkroom.errors import ApiError, DarkroomError
from darkroom.parameters import Moment
from darkroom.webhook_commands.options import EndpointType, endpoint_argument, operator_option
from darkroom.webhook_commands.session import explained, webhook_api
from darkroom.webhook_endpoints import EndpointId, Include, Recovered
from darkroom_contracts.api.webhook_deliveries import WebhookDelivery

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier than all deliveries."""


@click.command()
@click.argument("delivery_ids", metavar="[ID]...", nargs=-1, type=click.UUID)
@click.option("--endpoint", type=EndpointType(), help="With --failed: the endpoint whose deliveries to send again.")
@click.option("--failed", is_flag=True, help="Send all deliveries of the endpoint that ended without success.")
@operator_option
@json_option
def redeliver(
    delivery_ids: tuple[UUID, ...], endpoint: EndpointId | None, failed: bool, operator: bool, as_json: bool
) -> None:
    """Send deliveries again: each ID, or all failed ones of an endpoint.

    A delivery keeps its id and body, and follows the whole schedule again.
    """
    if endpoint is not None and failed and not delivery_ids:
        _recover(endpoint, BEGINNING, "failed", operator, as_json)
    elif delivery_ids and endpoint is None and not failed:
        _redeliver(delivery_ids, operator, as_json)
    else:
        raise CommandError("Give the IDs of deliveries, or --endpoint ENDPOINT --failed for all failed ones.")


@click.command()
@endpoint_argument
@click.option(
    "--since",
    type=Moment(),
    required=True,
    metavar="TIME",
    help="Send events since then: a time such as 2026-11-28T09:00Z, or a duration such as 30m, 2h, 3d.",
)
@click.option("--all", "everything", is_flag=True, help="Send those too that succeeded.")
@operator_option
@json_option
def recover(endpoint: EndpointId, since: datetime, everything: bool, operator: bool, as_json: bool) -> None:
    """Send an endpoint's deliveries since a moment again, the oldest first, if they ended without success."""
    _recover(endpoint, since, "all" if everything else "failed", operator, as_json)


def _redeliver(delivery_ids: tuple[UUID, ...], operator: bool, as_json: bool) -> None:
    """Redeliver each, and fail at the end if one was refused."""
    done: list[WebhookDelivery] = []
    refused: list[str] = []
    with webhook_api(operator=operator) as client:
        for delivery_id in delivery_ids:
            try:
                done.append(client.webhook_deliveries.redeliver(delivery_id))
            except ApiError as error:
                refused.append(f"Delivery {delivery_id} is not sent again: {explained(error)}")
    if as_json:
        print_json(done)
    else:
        _print_redelivered(done)
    if refused:
        raise CommandError("\n".join(refused))


def _print_redelivered(done: list[WebhookDelivery]) -> None:
    for delivery in done:
        click.echo(
            f"Delivery {delivery.id} is due again; `darkroom webhooks deliveries show {delivery.id}` shows more."
        )


def _recover(endpoint: EndpointId, since: datetime, include: Include, operator: bool, as_json: bool) -> None:
    with webhook_api(operator=operator) as client, status_line("Looking for deliveries", quiet=as_json) as show:
        recovered = _followed(client, endpoint, since, include, lambda page: show(_describe(page)))
    if as_json:
        print_json(recovered)
        return
    click.echo(f"{_count(recovered.redelivered)} due again.")
    if recovered.kept_since and recovered.kept_since > since > BEGINNING:
        click.echo(f"The endpoint's log begins at {utc(recovered.kept_since)}.", err=True)


def _followed(
    client: Client, endpoint: EndpointId, since: datetime, include: Include, show: Callable[[Recovered], None]
) -> Recovered:
    """Recover, and where that is interrupted say how far it came and how to continue."""
    so_far = Recovered(redelivered=0, next_since=since)

    def note(page: Recovered) -> None:
        nonlocal so_far
        so_far = page
        show(page)

    try:
        return client.webhook_endpoints.recover(endpoint, since, include=include, on_page=note)
    except (DarkroomError, KeyboardInterrupt) as error:
        if not so_far.redelivered or so_far.next_since is None:
            raise
        more = " --all" if include == "all" else ""
        raise CommandError(
            f"{_reason(error)} {_count(so_far.redelivered)} due again so far; `darkroom webhooks recover {endpoint}"
            f" --since {so_far.next_since.isoformat()}{more}` continues."
        ) from error


def _reason(error: DarkroomError | KeyboardInterrupt) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "Stopped."
    return explained(error) if isinstance(error, ApiError) else str(error)


def _describe(recovered: Recovered) -> str:
    at = f", at {utc(recovered.next_since)}" if recovered.next_since else ""
    return f"{_count(recovered.redelivered)} due again{at}"


def _count(deliveries: int) -> str:
    return f"{deliveries:,} {'delivery is' if deliveries == 1 else 'deliveries are'}"
