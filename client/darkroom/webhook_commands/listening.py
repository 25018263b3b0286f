"""`darkroom webhooks listen`."""

import os
import signal
import sys

import click
import httpx2
import msgspec

from darkroom.commands import CLIENT_KEY, URL
from darkroom.console import UNKNOWN, CommandError, discard_output, escaped, printable
from darkroom.webhook_commands.options import EndpointType, operator_option
from darkroom.webhook_commands.session import webhook_api
from darkroom.webhook_endpoints import EndpointId
from darkroom.webhook_listener import Listener, Received
from darkroom.webhooks import check_secret

SECRET_VARIABLE = "DARKROOM_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--secret", help=f"The endpoint's secret. Default: {SECRET_VARIABLE}.")
@click.option(
    "--endpoint",
    type=EndpointType(),
    help="Take the secret of this endpoint from the API. Default: `implicit`, where no secret is given, and"
    f" {URL} and {CLIENT_KEY} are set.",
)
@operator_option
@click.option("--forward", metavar="URL", help="Send each delivery to this URL too, and answer with its status.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per delivery, for programs.")
def listen(
    port: int,
    host: str,
    secret: str | None,
    endpoint: EndpointId | None,
    operator: bool,
    forward: str | None,
    as_json: bool,
) -> None:
    """Receive webhooks on this machine, verify them and print a line for each.

    The response is 204 for a delivery that is verified, 401 for one that is not, and 400 for one that can't be read;
    with --forward it is the application's. Without a secret nothing is verified. Ctrl-C ends the command.
    """
    chosen = _secret(secret, endpoint, operator)
    _check(chosen, forward)
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell ignores it for commands in the background
        signal.signal(number, signal.default_int_handler)
    try:
        with _listener(host, port, chosen, forward, as_json) as listener:
            click.echo(f"Listening on {listener.url}", err=True)
            listener.serve_forever()
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
    if listener.failure:
        discard_output()
        raise CommandError(
            f"Stopped: the output can't be written: {listener.failure.strerror}. What it lacks was not acknowledged."
        )


def _secret(given: str | None, endpoint: EndpointId | None, operator: bool) -> str | None:
    """Return the secret: the given one, that of the endpoint, or a default."""
    if given and endpoint:
        raise CommandError("--secret and --endpoint exclude each other; give one of them.")
    given = given or (None if endpoint else os.environ.get(SECRET_VARIABLE))
    if given or not (endpoint or all(os.environ.get(name) for name in (URL, CLIENT_KEY))):
        return given
    return _secret_of(endpoint or "implicit", operator)


def _secret_of(endpoint: EndpointId, operator: bool) -> str:
    with webhook_api(operator=operator) as client:
        secret = client.webhook_endpoints.get(endpoint).secret
    click.echo(f"Verifying with the secret of the endpoint {endpoint}; --secret gives another one.", err=True)
    return secret


def _check(secret: str | None, forward: str | None) -> None:
    if forward and not _is_http(forward):
        raise CommandError("--forward is not an HTTP URL; give one such as http://127.0.0.1:3000/webhooks.")
    try:
        if secret:
            check_secret(secret)
    except (ValueError, ImportError) as error:
        raise CommandError(f"--secret can't be used. {error}") from error


def _is_http(text: str) -> bool:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _listener(host: str, port: int, secret: str | None, forward: str | None, as_json: bool) -> Listener:
    report = _print_json if as_json else _print_line
    try:
        return Listener((host, port), secret=secret, forward=forward, report=report)
    except (OSError, UnicodeError, TypeError) as error:  # the latter two: a host that no name can be
        reason = error.strerror if isinstance(error, OSError) else "the host is malformed"
        raise CommandError(f"{host}:{port} is not available: {reason}. Choose another --host or --port.") from error


def _print_json(received: Received) -> None:
    _print(escaped(msgspec.json.encode(received).decode()))


def _print_line(received: Received) -> None:
    job = f"job {received.job} version {received.version}" if received.job else f"id {received.id or UNKNOWN}"
    verified = "verified" if received.verified else f"not verified: {received.reason}"
    error = f", {received.error}" if received.error else ""
    line = (
        f"{received.received_at:%H:%M:%SZ} {received.type or UNKNOWN}, {job}, {verified}, HTTP {received.status}{error}"
    )
    _print(printable(line.replace("\n", " ")))


def _print(line: str) -> None:
    """Write the line at once and whole: deliveries are reported by several threads."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
