"""`darkroom workers [NAME] | drain | resume`."""

import click

from darkroom.console import CommandError, json_option, print_json, printable, utc
from darkroom.desk_commands.default_command import DefaultGroup
from darkroom.desk_commands.options import reason_option
from darkroom.desk_commands.session import desk_api
from darkroom.desk_commands.worker_views import print_worker, print_workers

_SHOW_ALL = "`darkroom workers` shows all."

workers = DefaultGroup(
    "workers",
    help="Show all workers, or the one called NAME; drain and resume workers.",
    subcommand_metavar="[NAME] | COMMAND [ARGS]...",
)
_name_argument = click.argument("name", metavar="NAME")


@workers.command("list")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--model", metavar="MODEL", help="Only workers of this model.")
@json_option
def list_(name: str | None, model: str | None, as_json: bool) -> None:
    """Show the workers, those that stopped beating first, or the one called NAME. The default."""
    with desk_api() as client:
        found = client.workers.list(worker=name, model=model)
    if name is not None and not found:
        of_model = "" if model is None else f" of the model {printable(model)!r}"
        raise CommandError(f"No worker{of_model} called {printable(name)!r} is running; {_SHOW_ALL}")
    if as_json:
        print_json(found)
    elif name is None:
        print_workers(found, model)
    else:
        print_worker(found[0])


@workers.command()
@_name_argument
@reason_option
@json_option
def drain(name: str, reason: str, as_json: bool) -> None:
    """Let the worker NAME finish its jobs and take no other, until it is resumed or its process ends."""
    with desk_api(not_found=_SHOW_ALL) as client:
        drained = client.workers.drain(name, reason)
    if as_json:
        print_json(drained)
        return
    shown = printable(drained.worker)
    since = drained.drain_requested_at
    again = "" if drained.changed or since is None else f", as it was asked to at {utc(since)}"
    click.echo(
        f"{shown} finishes its jobs and takes no other{again}; `darkroom workers {shown}` shows when it is done."
    )
    click.echo(f"`darkroom workers resume {shown}` lets it take jobs again; a worker that is started anew takes them.")


@workers.command()
@_name_argument
@json_option
def resume(name: str, as_json: bool) -> None:
    """Let the drained worker NAME take jobs again, with its next heartbeat."""
    with desk_api(not_found=_SHOW_ALL) as client:
        resumed = client.workers.resume(name)
    if as_json:
        print_json(resumed)
    elif resumed.changed:
        click.echo(f"{printable(resumed.worker)} takes jobs again with its next heartbeat.")
    else:
        click.echo(f"{printable(resumed.worker)} was not drained.")
