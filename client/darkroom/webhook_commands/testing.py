"""`darkroom webhooks endpoints test`."""

from datetime import datetime

import click

from darkroom.client import Client
from darkroom.console import CommandError, json_option, print_json
from darkroom.webhook_commands.deliveries import result
from darkroom.webhook_commands.options import endpoint_argument, operator_option
from darkroom.webhook_commands.session import webhook_api
from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.api.webhook_deliveries import WebhookDelivery
from darkroom_contracts.states import DeliveryStatus, EndpointStatus

WAIT_SECONDS = 80.0
"""Longer than the pause of an origin that fails, a minute, and an attempt may take."""


@click.command()
@endpoint_argument
@operator_option
@json_option
def test(endpoint: EndpointId, operator: bool, as_json: bool) -> None:
    """Send a test event to an endpoint, and wait for the outcome of its first attempt."""
    with webhook_api(operator=operator) as client:
        delivery = _tested(client, endpoint)
    if as_json:
        print_json(delivery)
    if delivery.status != DeliveryStatus.SUCCEEDED:
        raise CommandError(_why_not(delivery))
    if not as_json:
        click.echo(f"The receiver accepted delivery {delivery.id}: {result(delivery)}{_duration(delivery)}.")


def _tested(client: Client, endpoint: EndpointId) -> WebhookDelivery:
    delivery_id = client.webhook_endpoints.test(endpoint)
    if client.webhook_endpoints.get(endpoint).status == EndpointStatus.PAUSED:
        raise CommandError(
            f"Endpoint {endpoint} is paused, so delivery {delivery_id} waits; `darkroom webhooks endpoints resume"
            f" {endpoint}` sends it."
        )
    return client.webhook_deliveries.wait(delivery_id, timeout_seconds=WAIT_SECONDS)


def _why_not(delivery: WebhookDelivery) -> str:
    if delivery.last_attempt is None or delivery.in_flight:
        return (
            f"No attempt has ended after {WAIT_SECONDS:g} s; `darkroom webhooks deliveries show {delivery.id}` shows"
            " how it goes on."
        )
    return f"Delivery {delivery.id} failed: {str(result(delivery)).rstrip('.')}.{_next(delivery.next_attempt_at)}"


def _next(due: datetime | None) -> str:
    return f" The next attempt is due at {due:%H:%M:%SZ}." if due else ""


def _duration(delivery: WebhookDelivery) -> str:
    milliseconds = delivery.last_attempt and delivery.last_attempt.total_ms
    return "" if milliseconds is None else f" after {milliseconds:.1f} ms"
