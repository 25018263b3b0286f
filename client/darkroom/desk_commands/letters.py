"""`darkroom dead-letters list | show | reveal`."""

from itertools import islice

import click
from msgspec.structs import asdict

from darkroom.console import json_option, print_json
from darkroom.desk_commands.letter_views import print_letters
from darkroom.desk_commands.options import letter_query
from darkroom.desk_commands.session import desk_api
from darkroom_contracts.api.dead_letters import MAX_LETTERS, DeadLetterExportQuery, DeadLetterQuery


@click.command("list")
@letter_query
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Number of dead letters, the newest first.",
)
@json_option
def list_(query: DeadLetterExportQuery, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    pages = DeadLetterQuery(**asdict(query), limit=min(limit + 1, MAX_LETTERS))
    with desk_api() as client:
        found = list(islice(client.dead_letters.list(pages), limit + 1))
    shown = found[:limit]
    if as_json:
        print_json(shown)
    else:
        print_letters(shown, query, more=len(found) > limit)
