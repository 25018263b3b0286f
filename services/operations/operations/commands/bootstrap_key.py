"""`darkroom bootstrap-key`."""

from datetime import timedelta

import click

from darkroom.console import json_option, print_json
from darkroom.desk_commands.key_views import print_new_key
from darkroom.parameters import Duration
from darkroom_contracts.api import Scope
from operations.commands.session import actor, with_database
from operations.keys.lifecycle import create_key


@click.command("bootstrap-key")
@click.option("--name", required=True, help="Who or what will use the key.")
@click.option(
    "--scope",
    type=click.Choice([str(scope) for scope in Scope]),
    default=str(Scope.OPERATOR),
    show_default=True,
    help="What the key may do.",
)
@click.option("--tenant", default="default", show_default=True, help="Whose jobs the key sees; made when missing.")
@click.option("--expires", type=Duration(), help="Time until the key expires, such as 90d. Default: never.")
@json_option
def bootstrap_key(name: str, scope: str, tenant: str, expires: timedelta | None, as_json: bool) -> None:
    """Make a key in the database and print it: the first one, or another when no operator's key is left.

    It needs DARKROOM_DATABASE_URL and no running service. With an operator's key, `darkroom keys` does the rest.
    """
    made = with_database(lambda database: create_key(database, actor(), Scope(scope), name, tenant, expires))
    if as_json:
        print_json(made)
    else:
        print_new_key(made)
