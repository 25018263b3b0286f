"""`darkroom dead-letters` and the other commands of the operators' desk."""

import click

from darkroom.desk_commands.closing import discard, restore
from darkroom.desk_commands.exporting import export
from darkroom.desk_commands.groups import groups, note
from darkroom.desk_commands.letters import list_, reveal, show
from darkroom.desk_commands.replaying import replay

dead_letters = click.Group(
    "dead-letters",
    help="""Inspect, replay and discard dead letters.

    A dead letter is a job that failed for good, a message that can't be decoded, one whose job is unknown, or a webhook
    that was given up.
    """,
    commands=[list_, show, reveal, groups, note, replay, discard, restore, export],
)
