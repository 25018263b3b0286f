"""`darkroom dead-letters groups | note`."""

from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import CommandError, json_option, limit_option, print_json
from darkroom.desk_commands.group_views import print_group, print_groups, print_note
from darkroom.desk_commands.options import ANY
from darkroom.desk_commands.session import desk_api
from darkroom.parameters import FutureMoment
from darkroom_contracts.api.dead_letter_groups import MAX_GROUPS, DeadLetterGroup, DeadLetterGroupQuery
from darkroom_contracts.states import LetterKind

LISTED = "`darkroom dead-letters groups --status any` shows their ids."
"""What helps with the id of a group that does not exist."""


@click.command()
@click.argument("group_id", metavar="[GROUP]", required=False, type=click.UUID)
@click.option("--kind", type=click.Choice([*map(str, LetterKind), ANY]), default=ANY, help="Only of this kind.")
@click.option("--model", metavar="NAME", help="Only of jobs of this model.")
@click.option(
    "--status",
    type=click.Choice(["open", "closed", ANY]),
    default="open",
    show_default=True,
    help="Only groups with open dead letters, or all others.",
)
@click.option("--text", help="Only with this text in the error; # stands for a number or an id.")
@limit_option("groups to show")
@json_option
def groups(
    group_id: UUID | None, kind: str, model: str | None, status: Any, text: str | None, limit: int, as_json: bool
) -> None:
    """List failures by their kind, with their last 24 hours; or show one GROUP, its suspects and its note."""
    if group_id is not None:
        _show(group_id, as_json)
        return
    query = DeadLetterGroupQuery(
        kind=None if kind == ANY else LetterKind(kind),
        model=model,
        status=None if status == ANY else status,
        text=text,
        limit=min(limit + 1, MAX_GROUPS),
    )
    with desk_api() as client:
        found = list(islice(client.dead_letter_groups.list(query), limit + 1))
    shown = found[:limit]
    if as_json:
        print_json(shown)
    else:
        print_groups(shown, query, more=len(found) > limit)


@click.command()
@click.argument("group_id", metavar="GROUP", type=click.UUID)
@click.argument("text", metavar="[TEXT]", required=False)
@click.option(
    "--known-until",
    type=FutureMoment(),
    metavar="WHEN",
    help="Until when the failure is expected: 30m, 12h, 3d, or a time. Without TEXT the note stays.",
)
@click.option("--remove", is_flag=True, help="Remove the note.")
@json_option
def note(group_id: UUID, text: str | None, known_until: datetime | None, remove: bool, as_json: bool) -> None:
    """Show the note of a GROUP, write it, or remove it. It outlives replays of the group."""
    if remove and (text is not None or known_until is not None):
        raise CommandError("--remove takes neither TEXT nor --known-until; give one or the other.")
    with desk_api(not_found=LISTED) as client:
        group = _noted(client, group_id, text, known_until, remove)
    if as_json:
        print_json(group.note)
    else:
        print_note(group)


def _noted(
    client: Client, group_id: UUID, text: str | None, known_until: datetime | None, remove: bool
) -> DeadLetterGroup:
    """Return the group once its note is as it should be."""
    if remove:
        return client.dead_letter_groups.note(group_id, None)
    if text is not None:
        return client.dead_letter_groups.note(group_id, text, known_until)
    group = client.dead_letter_groups.get(group_id)
    if known_until is None:
        return group
    if group.note is None:
        raise CommandError("The group has no note yet; give a TEXT too.")
    return client.dead_letter_groups.note(group_id, group.note.text, known_until)


def _show(group_id: UUID, as_json: bool) -> None:
    with desk_api(not_found=LISTED) as client:
        group = client.dead_letter_groups.get(group_id)
    if as_json:
        print_json(group)
    else:
        print_group(group)
