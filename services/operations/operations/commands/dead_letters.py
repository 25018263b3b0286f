"""`darkroom dead-letters list | show | replay`."""

import getpass
import os
from uuid import UUID

import click
import msgspec

from chassis.settings import CatalogueSettings, load
from darkroom.console import CommandError, json_option, print_fields, print_json, print_table
from darkroom_contracts.models import Catalogue, CatalogueError
from operations.commands.session import with_database
from operations.letters import UnknownLetterError, list_letters, show_letter
from operations.records import AttemptRecord, Letter
from operations.replay import ReplayRefusedError
from operations.replay import replay as replay_letter

ANY = "any"
_SHOWN_BYTES = 256


@click.group("dead-letters")
def dead_letters() -> None:
    """Inspect jobs that died, messages that could not be read or whose job is unknown, and replay jobs."""


@dead_letters.command("list")
@click.option(
    "--status",
    type=click.Choice(["open", "replaying", "replayed", "discarded", ANY]),
    default="open",
    show_default=True,
    help="Which to list.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, newest first.")
@json_option
def list_(status: str, limit: int, as_json: bool) -> None:
    """List dead letters, the newest first."""
    wanted = None if status == ANY else status
    letters = with_database(lambda database: list_letters(database, wanted, limit))
    if as_json:
        print_json(letters)
        return
    if not letters:
        click.echo("There are no dead letters." if wanted is None else f"There are no dead letters that are {wanted}.")
        return
    print_table(
        ("id", "kind", "status", "reason", "model", "created", "message"),
        ((item.id, item.kind, item.status, item.reason, item.model, item.created_at, item.message) for item in letters),
    )


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def show(letter_id: UUID, as_json: bool) -> None:
    """Show all that is known of a dead letter: bytes, headers, reason and every attempt."""
    try:
        letter = with_database(lambda database: show_letter(database, letter_id))
    except UnknownLetterError as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(letter)
    else:
        _print_letter(letter)


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=click.UUID)
@json_option
def replay(letter_id: UUID, as_json: bool) -> None:
    """Queue the job of an open dead letter anew, an orphan's from its message. Doing it twice runs the job once."""
    try:
        replayed = with_database(lambda database: replay_letter(database, letter_id, _actor(), _catalogue))
    except (UnknownLetterError, ReplayRefusedError, CatalogueError) as error:
        raise CommandError(str(error)) from error
    if as_json:
        print_json(replayed)
    else:
        click.echo(f"Job {replayed.job_id} is queued again, as generation {replayed.generation}.")


def _print_letter(letter: Letter) -> None:
    error = msgspec.json.decode(letter.error)
    print_fields(
        [
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
    )
    if letter.attempts:
        click.echo()
        print_table(
            ("generation", "attempt", "worker", "started", "ended", "outcome", "error"),
            (_attempt(attempt) for attempt in letter.attempts),
        )
        for attempt in letter.attempts:
            _print_detail(attempt)


def _job(letter: Letter) -> str | None:
    if letter.job_id is None:
        return None
    if letter.job_status is None:
        return f"{letter.job_id} (generation {letter.generation}; not in this database)"
    return (
        f"{letter.job_id} (died in generation {letter.generation}; is {letter.job_status} in {letter.job_generation})"
    )


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
    """What only operators see of a failure: its cause, and the end of the render process's log."""
    error = msgspec.json.decode(attempt.error) if attempt.error else {}
    details = [error["cause"]] if "cause" in error else error.get("last_lines", [])
    if details:
        click.echo()
        heading = f"generation {attempt.generation}, attempt {attempt.attempt}"
        print_fields([(heading, "\n".join(map(str, details)))])


def _indented(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else msgspec.json.format(bytes(raw)).decode()


def _catalogue() -> Catalogue:
    """What an orphan's job is held to; read only when there is one."""
    return load(CatalogueSettings).load()


def _actor() -> str:
    """Who is typing, for the audit log."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"command:uid-{os.getuid()}"
