"""`darkroom queues [MODEL] | pause | resume`."""

import click

from darkroom.console import CommandError, json_option, print_json, printable
from darkroom.desk_commands.default_command import DefaultGroup
from darkroom.desk_commands.options import reason_option
from darkroom.desk_commands.queue_views import expiring, print_queue, print_queues
from darkroom.desk_commands.session import desk_api

_SHOW_ALL = "`darkroom queues` shows all."

queues = DefaultGroup(
    "queues",
    help="Show the queues of all models, or MODEL's; pause and resume models.",
    subcommand_metavar="[MODEL] | COMMAND [ARGS]...",
)
_model_argument = click.argument("model", metavar="MODEL")


@queues.command("list")
@click.argument("model", metavar="[MODEL]", required=False)
@json_option
def list_(model: str | None, as_json: bool) -> None:
    """Show how the queues stand, or MODEL's. The default."""
    with desk_api() as client:
        found = client.queues.list(model)
    if model is not None and not found.queues:
        raise CommandError(f"There is no model {printable(model)!r}; {_SHOW_ALL}")
    if as_json:
        print_json(found)
    elif model is None:
        print_queues(found)
    else:
        print_queue(found.queues[0], found)


@queues.command()
@_model_argument
@reason_option
@json_option
def pause(model: str, reason: str, as_json: bool) -> None:
    """Pause MODEL: its workers finish their jobs and take no other.

    Jobs are accepted and wait; those whose time to live ends meanwhile expire.
    """
    with desk_api(not_found=_SHOW_ALL) as client:
        paused = client.queues.pause(model, reason)
    if as_json:
        print_json(paused)
        return
    name = printable(paused.model)
    click.echo(f"{name} is paused: its workers finish their jobs and take no other; jobs are accepted and wait.")
    click.echo(expiring(paused))
    click.echo(f"`darkroom queues resume {name}` resumes it.")


@queues.command()
@_model_argument
@json_option
def resume(model: str, as_json: bool) -> None:
    """Resume MODEL. Its workers take jobs again with their next heartbeat."""
    with desk_api(not_found=_SHOW_ALL) as client:
        resumed = client.queues.resume(model)
    if as_json:
        print_json(resumed)
    elif resumed.resumed:
        click.echo(f"{printable(resumed.model)} is resumed; its workers take jobs again with their next heartbeat.")
    else:
        click.echo(f"{printable(resumed.model)} was not paused.")
