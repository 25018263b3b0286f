"""`darkroom dead-letters list | show | replay`."""

import getpass
import os
from uuid import UUID

import click
import msgspec

from chassis.settings import CatalogueSettings, WebhookTargetSettings, load
from chassis.targets import Policy
from darkroom.console import json_option, print_fields, print_json, print_table
from darkroom_contracts.models import Catalogue
from operations.commands.session import with_database
from operations.letters.inspection import list_letters, show_letter
from operations.letters.records import AttemptRecord, Letter, LetterStatus, LetterSummary
from operations.replays.replay import replay as replay_letter

ANY = "any"
_SHOWN_BYTES = 256


@click.group("dead-letters")
def dead_letters() -> None:
    """Inspect dead letters and replay their jobs.

    A dead letter is a job that failed for good, a message that can't be decoded, or one whose job is unknown.
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
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Number of dead letters, the newest first.",
)
@json_option
def list_(status: str, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    wanted = None if status == ANY else LetterStatus(status)
    letters = with_database(lambda database: list_letters(database, wanted, limit))
    if as_json:
        print_json(letters)
    elif letters:
        _print_table(letters)
    else:
        click.echo("There are no dead letters." if wanted is None else f"There are no dead letters that are {wanted}.")


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def show(letter_id: UUID, as_json: bool) -> None:
    """Show a dead letter: bytes, headers, reason and every attempt."""
    letter = with_database(lambda database: show_letter(database, letter_id))
    if as_json:
        print_json(letter)
    else:
        _print_letter(letter)


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def replay(letter_id: UUID, as_json: bool) -> None:
    """Queue the job of an open dead letter again, an orphan's from its message. A second replay is refused."""
    replayed = with_database(
        lambda database: replay_letter(database, letter_id, _actor(), _catalogue, _webhook_targets())
    )
    if as_json:
        print_json(replayed)
    else:
        click.echo(f"Job {replayed.job_id} is queued again, as generation {replayed.generation}.")


def _print_table(letters: list[LetterSummary]) -> None:
    print_table(
        ("id", "kind", "status", "reason", "model", "created", "message"),
        ((item.id, item.kind, item.status, item.reason, item.model, item.created_at, item.message) for item in letters),
    )


def _print_letter(letter: Letter) -> None:
    print_fields(_fields(letter))
    if letter.attempts:
        click.echo()
        _print_attempts(letter.attempts)


def _fields(letter: Letter) -> list[tuple[str, object]]:
    error = msgspec.json.decode(letter.error)
    return [
        ("id", letter.id),
        ("kind", letter.kind),
        ("status", letter.status),
        ("reason", letter.reason),
        ("message", error.pop("message", None)),
        ("error", msgspec.json.encode(error).decode()),
        ("fingerprint", letter.fingerprint),
        ("job", _job(letter)),
        ("tenant", letter.tenant),
        ("model", letter.model),
        ("created", letter.created_at),
        ("resolved", letter.resolved_at),
        ("headers", _indented(letter.headers)),
        ("x-death", _indented(letter.x_death)),
        ("body", _body(letter)),
    ]


def _print_attempts(attempts: list[AttemptRecord]) -> None:
    print_table(
        ("generation", "attempt", "worker", "started", "ended", "outcome", "error"),
        (_attempt(attempt) for attempt in attempts),
    )
    for attempt in attempts:
        _print_detail(attempt)


def _job(letter: Letter) -> str | None:
    if letter.job_id is None:
        return None
    if letter.job_status is None:
        return f"{letter.job_id} (generation {letter.generation}; not in this database)"
    now = f"{letter.job_status} in generation {letter.job_generation}"
    return f"{letter.job_id} (failed in generation {letter.generation}; now {now})"


def _body(letter: Letter) -> str | None:
    if letter.body is None:
        return None
    if letter.body_text is not None and len(letter.body) <= _SHOWN_BYTES * 4:
        return letter.body_text
    beginning = letter.body[:_SHOWN_BYTES].hex(" ")
    return f"{len(letter.body)} bytes, beginning {beginning}; --json prints all as base64"


def _attempt(attempt: AttemptRecord) -> tuple[object, ...]:
    error = msgspec.json.decode(attempt.error) if attempt.error else {}
    return (
        attempt.generation,
        attempt.attempt,
        attempt.worker,
        attempt.started_at,
        attempt.ended_at,
        attempt.outcome,
        error.get("message"),
    )


def _print_detail(attempt: AttemptRecord) -> None:
    """Print the parts of an attempt's error that only operators see: its cause, or the last lines of the render log."""
    error = msgspec.json.decode(attempt.error) if attempt.error else {}
    details = [error["cause"]] if "cause" in error else error.get("last_lines", [])
    if details:
        click.echo()
        heading = f"generation {attempt.generation}, attempt {attempt.attempt}"
        print_fields([(heading, "\n".join(map(str, details)))])


def _indented(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else msgspec.json.format(bytes(raw)).decode()


def _catalogue() -> Catalogue:
    """Load the catalogue that an orphan's job is checked against. Raises SettingsError or CatalogueError."""
    return load(CatalogueSettings).load()


def _webhook_targets() -> Policy:
    """Load the policy that an orphan's webhook URL is checked against. Raises SettingsError."""
    return load(WebhookTargetSettings).policy


def _actor() -> str:
    """Return the operator's name for the audit log."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"command:uid-{os.getuid()}"
