"""`darkroom webhooks endpoints`."""

from typing import Any

import click
from msgspec import UNSET, UnsetType

from darkroom.console import CommandError, json_option, print_json
from darkroom.parameters import Assignment
from darkroom.webhook_commands.endpoint_views import print_endpoint, print_endpoints, print_stats, without_secret
from darkroom.webhook_commands.headers import header_options, headers_of
from darkroom.webhook_commands.options import audience, endpoint_argument, operator_option
from darkroom.webhook_commands.session import webhook_api
from darkroom.webhook_commands.testing import test
from darkroom.webhook_endpoints import EndpointId
from darkroom_contracts.api.webhook_endpoints import WebhookEndpointChange

Pairs = tuple[tuple[str, str], ...]

_description = click.option("--description", help="For people.")
_events = click.option(
    "--event",
    "events",
    metavar="TYPE",
    multiple=True,
    help="An event to deliver, such as job.failed; may be repeated. Default at creation: all but job.started.",
)
_metadata = click.option(
    "--metadata",
    type=Assignment(),
    metavar="KEY=VALUE",
    multiple=True,
    help="Report only jobs with this metadata; may be repeated, and then all must match.",
)


@click.group()
def endpoints() -> None:
    """Create and change the endpoints that webhooks are sent to.

    ENDPOINT is an id, or `implicit` for the endpoint that stands for the webhook URLs of jobs.
    """


endpoints.add_command(test)


@endpoints.command("list")
@operator_option
@json_option
def list_(operator: bool, as_json: bool) -> None:
    """List the endpoints."""
    with webhook_api(operator=operator) as client:
        found = client.webhook_endpoints.list(audience(operator))
    if as_json:
        print_json(found)
    elif found:
        print_endpoints(found)
    else:
        click.echo("There are no endpoints; `darkroom webhooks endpoints create URL` makes one.")


@endpoints.command()
@endpoint_argument
@operator_option
@json_option
def show(endpoint: EndpointId, operator: bool, as_json: bool) -> None:
    """Show an endpoint, without its secret."""
    with webhook_api(operator=operator) as client:
        found = client.webhook_endpoints.get(endpoint)
    print_endpoint(without_secret(found), as_json)


@endpoints.command()
@click.argument("url")
@_description
@_events
@_metadata
@header_options
@click.option("--ed25519", is_flag=True, help="Sign with an Ed25519 key pair too.")
@operator_option
@json_option
def create(
    url: str,
    description: str | None,
    events: tuple[str, ...],
    metadata: Pairs,
    ed25519: bool,
    operator: bool,
    as_json: bool,
    **headers: Any,
) -> None:
    """Create an endpoint that receives events at URL, and print its secret."""
    chosen = headers_of(**headers)
    with webhook_api(operator=operator) as client:
        created = client.webhook_endpoints.create(
            url,
            description=description or "",
            events=events or None,
            metadata_filter=dict(metadata),
            headers=chosen,
            ed25519=ed25519,
            audience=audience(operator),
        )
    print_endpoint(created, as_json)
    if not as_json:
        click.echo(
            f"The receiver verifies with the secret. `darkroom webhooks endpoints test {created.id}` tries it.",
            err=True,
        )


@endpoints.command()
@endpoint_argument
@click.option("--url", help="Where to send events from now on; waiting deliveries go there too.")
@_description
@_events
@_metadata
@click.option("--any-metadata", is_flag=True, help="Report all jobs, whatever their metadata.")
@header_options
@click.option("--no-headers", is_flag=True, help="Remove all headers.")
@click.option("--ed25519/--no-ed25519", default=None, help="Sign with an Ed25519 key pair too, or no longer.")
@operator_option
@json_option
def update(
    endpoint: EndpointId,
    url: str | None,
    description: str | None,
    events: tuple[str, ...],
    metadata: Pairs,
    any_metadata: bool,
    no_headers: bool,
    ed25519: bool | None,
    operator: bool,
    as_json: bool,
    **headers: Any,
) -> None:
    """Change an endpoint. The events, metadata or headers that are given replace all that it had."""
    change = WebhookEndpointChange(
        url=url or UNSET,
        description=UNSET if description is None else description,
        events=events or UNSET,
        metadata_filter=_replaced(dict(metadata), any_metadata, "--metadata", "--any-metadata"),
        headers=_replaced(headers_of(**headers), no_headers, "--header", "--no-headers"),
        ed25519=UNSET if ed25519 is None else ed25519,
    )
    if change == WebhookEndpointChange():
        raise CommandError("Nothing is to be changed; `darkroom webhooks endpoints update --help` lists the options.")
    with webhook_api(operator=operator) as client:
        changed = client.webhook_endpoints.change(endpoint, change)
    print_endpoint(changed, as_json)


@endpoints.command()
@endpoint_argument
@operator_option
@json_option
def pause(endpoint: EndpointId, operator: bool, as_json: bool) -> None:
    """Keep the endpoint's deliveries until it is resumed."""
    with webhook_api(operator=operator) as client:
        paused = client.webhook_endpoints.pause(endpoint)
    if as_json:
        print_json(paused)
    else:
        click.echo(f"Endpoint {paused.id} is paused; `darkroom webhooks endpoints resume {endpoint}` sends what waits.")


@endpoints.command()
@endpoint_argument
@operator_option
@json_option
def resume(endpoint: EndpointId, operator: bool, as_json: bool) -> None:
    """Enable a paused or disabled endpoint, and send what waited while it was paused."""
    with webhook_api(operator=operator) as client:
        resumed = client.webhook_endpoints.resume(endpoint)
    if as_json:
        print_json(resumed)
    else:
        click.echo(
            f"Endpoint {resumed.id} is enabled; `darkroom webhooks recover {endpoint} --since TIME` sends again what"
            " failed."
        )


@endpoints.command()
@endpoint_argument
@click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
@operator_option
def delete(endpoint: EndpointId, yes: bool, operator: bool) -> None:
    """Delete an endpoint. Its waiting deliveries are canceled, and its secret is lost."""
    if not yes:
        _confirm(f"Delete endpoint {endpoint}, its waiting deliveries and its secret?")
    with webhook_api(operator=operator) as client:
        client.webhook_endpoints.delete(endpoint)
    click.echo(f"Endpoint {endpoint} is deleted.")


@endpoints.command()
@endpoint_argument
@operator_option
@json_option
def stats(endpoint: EndpointId, operator: bool, as_json: bool) -> None:
    """Show how the deliveries of the last 24 hours went."""
    with webhook_api(operator=operator) as client:
        found = client.webhook_endpoints.stats(endpoint)
    if as_json:
        print_json(found)
    else:
        print_stats(found)


def _replaced(given: dict[str, str], none: bool, option: str, option_for_none: str) -> dict[str, str] | UnsetType:
    """Return what replaces a mapping: the given one, an empty one, or UNSET where it stays."""
    if given and none:
        raise CommandError(f"{option} and {option_for_none} exclude each other; give one of them.")
    return given if given or none else UNSET


def _confirm(question: str) -> None:
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as error:
        raise CommandError("Nothing was deleted; --yes deletes without a question.") from error
