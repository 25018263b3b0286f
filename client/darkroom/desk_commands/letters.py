"""`darkroom dead-letters list | show | reveal`."""

from itertools import islice
from uuid import UUID

import click
from msgspec.structs import asdict

from darkroom.console import json_option, limit_option, print_json
from darkroom.desk_commands.detail_views import print_letter
from darkroom.desk_commands.letter_views import print_letters
from darkroom.desk_commands.options import letter_query, reason_option
from darkroom.desk_commands.reveal_views import print_revealed
from darkroom.desk_commands.session import desk_api
from darkroom_contracts.api.dead_letters import MAX_LETTERS, DeadLetterExportQuery, DeadLetterQuery

LISTED = "`darkroom dead-letters list --status any` shows their ids."
"""What helps with the id of a dead letter that does not exist."""

letter_argument = click.argument("letter_id", metavar="ID", type=click.UUID)


@click.command("list")
@letter_query
@limit_option("dead letters, the newest first")
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


@click.command()
@letter_argument
@json_option
def show(letter_id: UUID, as_json: bool) -> None:
    """Show a dead letter: what failed, where, every attempt, and what was done with it.

    Looking changes nothing. `reveal` shows its message.
    """
    with desk_api(not_found=LISTED) as client:
        letter = client.dead_letters.get(letter_id)
    if as_json:
        print_json(letter)
    else:
        print_letter(letter)


@click.command()
@letter_argument
@reason_option
@json_option
def reveal(letter_id: UUID, reason: str, as_json: bool) -> None:
    """Show what is hidden of a dead letter: its message, headers, prompts, and receivers' answers.

    The audit log records who looked, and why. --json prints the message's exact bytes, as base64.
    """
    with desk_api(not_found=LISTED) as client:
        revealed = client.dead_letters.reveal(letter_id, reason)
    if as_json:
        print_json(revealed)
    else:
        print_revealed(revealed)
