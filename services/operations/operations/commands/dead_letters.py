"""`darkroom dead-letters list | show | replay`."""

from uuid import UUID

import click

from chassis.settings import CatalogueSettings, WebhookTargetSettings, load
from chassis.targets import Policy
from darkroom.console import json_option, print_json, print_table
from darkroom_contracts.models import Catalogue
from operations.commands.letter_output import print_letter
from operations.commands.session import actor, with_database
from operations.letters.inspection import list_letters, show_letter
from operations.letters.records import LetterKind, LetterStatus, LetterSummary
from operations.replays.outcome import Redelivered, Replayed
from operations.replays.replay import replay as replay_letter

ANY = "any"


@click.group("dead-letters")
def dead_letters() -> None:
    """Inspect and replay dead letters.

    A dead letter is a job that failed for good, a message that can't be decoded, one whose job is unknown, or a webhook
    that was given up.
    """


@dead_letters.command("list")
@click.option(
    "--status",
    type=click.Choice([*map(str, LetterStatus), ANY]),
    default=str(LetterStatus.OPEN),
    show_default=True,
    help="Status of the dead letters to list.",
)
@click.option(
    "--kind",
    type=click.Choice([*map(str, LetterKind), ANY]),
    default=ANY,
    show_default=True,
    help="Kind of the dead letters to list.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Number of dead letters, the newest first.",
)
@json_option
def list_(status: str, kind: str, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    wanted = None if status == ANY else LetterStatus(status)
    kinds = None if kind == ANY else LetterKind(kind)
    letters = with_database(lambda database: list_letters(database, kinds, wanted, limit))
    if as_json:
        print_json(letters)
    elif letters:
        _print_table(letters)
    else:
        click.echo(_none_found(kinds, wanted))


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def show(letter_id: UUID, as_json: bool) -> None:
    """Show a dead letter: its message or webhook delivery, the reason and every attempt."""
    letter = with_database(lambda database: show_letter(database, letter_id))
    if as_json:
        print_json(letter)
    else:
        print_letter(letter)


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def replay(letter_id: UUID, as_json: bool) -> None:
    """Replay an open dead letter. A second replay is refused.

    Its job is queued again, an orphan's is made again from its message, a webhook is sent again.
    """
    replayed = with_database(
        lambda database: replay_letter(database, letter_id, actor(), _catalogue, _webhook_targets())
    )
    if as_json:
        print_json(replayed)
    else:
        click.echo(_result(replayed))


def _result(replayed: Replayed | Redelivered) -> str:
    if isinstance(replayed, Replayed):
        return f"Job {replayed.job_id} is queued again, as generation {replayed.generation}."
    waits = ", and waits until its endpoint is resumed" if replayed.endpoint_paused else ""
    return f"Delivery {replayed.delivery_id} is due again{waits}."


def _none_found(kind: LetterKind | None, status: LetterStatus | None) -> str:
    of_kind = "" if kind is None else f" of kind {kind}"
    with_status = "" if status is None else f" that are {status}"
    return f"There are no dead letters{of_kind}{with_status}."


def _print_table(letters: list[LetterSummary]) -> None:
    columns = ("id", "kind", "status", "reason", "tenant", "model", "created", "message")
    fields = ("id", "kind", "status", "reason", "tenant", "model", "created_at", "message")
    print_table(columns, ([getattr(letter, field) for field in fields] for letter in letters))


def _catalogue() -> Catalogue:
    """Load the catalogue that an orphan's job is checked against. Raises SettingsError or CatalogueError."""
    return load(CatalogueSettings).load()


def _webhook_targets() -> Policy:
    """Load the policy that an orphan's webhook URL is checked against. Raises SettingsError."""
    return load(WebhookTargetSettings).policy
