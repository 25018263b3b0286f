"""`darkroom webhooks secret`."""

from datetime import datetime
from uuid import UUID

import click
import msgspec

from darkroom.console import CommandError, json_option, print_json, utc
from darkroom.errors import ApiError
from darkroom.webhook_commands.options import endpoint_argument, operator_option
from darkroom.webhook_commands.session import webhook_api
from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.api.webhook_endpoints import WebhookEndpointWithSecret
from darkroom_contracts.errors import ApiError as Code

public_key_option = click.option(
    "--public-key", is_flag=True, help="Print the Ed25519 public key instead, which verifies and can't sign."
)


@click.group()
def secret() -> None:
    """Show and rotate the secrets that sign webhooks.

    The secret alone is written to stdout: DARKROOM_WEBHOOK_SECRET=$(darkroom webhooks secret show implicit).
    """


@secret.command()
@endpoint_argument
@public_key_option
@operator_option
@json_option
def show(endpoint: EndpointId, public_key: bool, operator: bool, as_json: bool) -> None:
    """Print the secret of an endpoint."""
    with webhook_api(operator=operator) as client:
        found = client.webhook_endpoints.get(endpoint)
    _print(found, public_key, as_json)


@secret.command()
@endpoint_argument
@click.option(
    "--end-previous", is_flag=True, help="Rotate again within 24 hours of a rotation, and end the oldest secret now."
)
@public_key_option
@operator_option
@json_option
def rotate(endpoint: EndpointId, end_previous: bool, public_key: bool, operator: bool, as_json: bool) -> None:
    """Replace the secret of an endpoint, and print the new one.

    Deliveries are signed with both secrets for 24 hours: put the new one into the receiver within that time.
    """
    with webhook_api(operator=operator) as client:
        try:
            rotated = client.webhook_endpoints.rotate_secret(endpoint, end_previous=end_previous)
        except ApiError as error:
            if error.problem.code != Code.ROTATION_UNDER_WAY:
                raise
            raise CommandError(_UNDER_WAY.format(endpoint=endpoint)) from error
    _print(rotated, public_key, as_json)


_UNDER_WAY = (
    "The secret was rotated less than 24 hours ago; `darkroom webhooks secret show {endpoint}` prints it, and"
    " --end-previous rotates again, which ends the secret before it at once."
)


class _Secret(msgspec.Struct):
    """What `--json` prints."""

    endpoint_id: UUID
    secret: str
    public_key: str | None
    previous_secret_until: datetime | None


def _print(endpoint: WebhookEndpointWithSecret, public_key: bool, as_json: bool) -> None:
    if as_json:
        print_json(_Secret(endpoint.id, endpoint.secret, endpoint.public_key, endpoint.previous_secret_until))
        return
    if public_key and endpoint.public_key is None:
        raise CommandError(
            f"The endpoint has no key pair; `darkroom webhooks endpoints update {endpoint.id} --ed25519` adds one."
        )
    click.echo(endpoint.public_key if public_key else endpoint.secret)
    if endpoint.previous_secret_until:
        click.echo(f"The previous one signs too until {utc(endpoint.previous_secret_until)}.", err=True)
