"""`darkroom dead-letters discard | restore`."""

from uuid import UUID

import click

from darkroom.client import Client
from darkroom.console import CommandError, json_option, print_json
from darkroom.desk_commands.confirming import confirm_count, require_terminal
from darkroom.desk_commands.letter_views import counted
from darkroom.desk_commands.letters import LISTED
from darkroom.desk_commands.options import letter_scope, named_alone, reason_option, yes_option
from darkroom.desk_commands.session import desk_api, explained
from darkroom.errors import ApiError, DarkroomError
from darkroom_contracts.api.dead_letters import BulkDiscardReply, DeadLetter, LetterScope
from darkroom_contracts.errors import ApiError as Code

RESTORED = "Restored from the command line."


@click.command()
@letter_scope
@reason_option
@yes_option
@json_option
def discard(scope: LetterScope, reason: str, yes: bool, as_json: bool) -> None:
    """Discard dead letters that nobody will replay: by ID at once, several after their number is typed.

    Orphans are left out unless their kind or their ids are named, and so are those that came back twice before unless
    their ids are. `restore` opens one again.
    """
    alone = named_alone(scope)
    with desk_api(not_found=LISTED) as client:
        if alone is not None:
            _print_discarded(client.dead_letters.discard(alone, reason), as_json)
        else:
            _print_total(_discard_all(client, scope, reason, yes), as_json)


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, type=click.UUID)
@click.option("--reason", metavar="TEXT", default=RESTORED, show_default=True, help="Why, for the audit log.")
@json_option
def restore(ids: tuple[UUID, ...], reason: str, as_json: bool) -> None:
    """Open discarded dead letters again."""
    restored: list[DeadLetter] = []
    refused: list[str] = []
    with desk_api() as client:
        for letter_id in dict.fromkeys(ids):
            try:
                restored.append(client.dead_letters.restore(letter_id, reason))
            except ApiError as error:
                refused.append(f"Dead letter {letter_id} is not restored: {explained(error, not_found=LISTED)}")
    if as_json:
        print_json(restored)
    else:
        for letter in restored:
            click.echo(f"Dead letter {letter.id} is open again; `darkroom dead-letters replay {letter.id}` replays it.")
    if refused:
        raise CommandError("\n".join(refused))


def _discard_all(client: Client, scope: LetterScope, reason: str, yes: bool) -> BulkDiscardReply:
    """Count, ask, and discard in steps that the API allows. Raises CommandError."""
    require_terminal(yes=yes)
    found = client.dead_letters.count_discards(scope, reason)
    if not found.count:
        return found
    confirm_count(_intention(found, scope), found.count, yes=yes)
    total, remaining = 0, found.count
    while remaining:
        try:
            done = client.dead_letters.discard_all(scope, reason, remaining)
        except DarkroomError as error:
            raise CommandError(_stopped(error, total)) from error
        total, remaining = total + done.discarded, done.remaining
        if remaining:
            click.echo(f"{total:,} are discarded, {remaining:,} are left.", err=True)
    return BulkDiscardReply(count=found.count, discarded=total, remaining=0, left_out=found.left_out)


def _intention(found: BulkDiscardReply, scope: LetterScope) -> str:
    not_open = len(scope.ids or []) - found.count - found.left_out
    are = "is" if not_open == 1 else "are"
    others = f" {not_open:,} of those named {are} not open, or not matched." if scope.ids and not_open > 0 else ""
    return f"{counted(found.count)} will be discarded.{others}{_left_out(found.left_out)}"


def _stopped(error: DarkroomError, total: int) -> str:
    """Return what happened and what to do. Letters that arrived meanwhile were never confirmed."""
    if isinstance(error, ApiError) and error.problem.code == Code.COUNT_DIFFERS:
        return f"{_so_far(total)}The number has changed since it was confirmed; run the command again to see the rest."
    reason = explained(error, not_found=LISTED) if isinstance(error, ApiError) else str(error)
    return f"{_so_far(total)}{reason}"


def _so_far(total: int) -> str:
    return f"{counted(total)} {'is' if total == 1 else 'are'} discarded so far. " if total else ""


def _print_discarded(letter: DeadLetter, as_json: bool) -> None:
    if as_json:
        print_json(letter)
    else:
        click.echo(f"Dead letter {letter.id} is discarded; `darkroom dead-letters restore {letter.id}` opens it again.")


def _print_total(done: BulkDiscardReply, as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif done.discarded:
        click.echo(
            f"{counted(done.discarded)} {'is' if done.discarded == 1 else 'are'} discarded;"
            " `darkroom dead-letters list --status discarded` shows them, `restore ID` opens one again."
        )
    else:
        click.echo(f"There is nothing to discard: no open dead letter matches.{_left_out(done.left_out)}")


def _left_out(count: int) -> str:
    if not count:
        return ""
    return (
        f" {count:,} more {'matches and is' if count == 1 else 'match and are'} left out: orphans, which --kind orphan"
        " names, and those that came back twice before, which their IDs name."
    )
