"""Confirmations: an act on many dead letters is confirmed by typing their number, one on a key by typing its id."""

import sys

import click

from darkroom.console import CommandError, printable


def confirm_count(what: str, count: int, *, yes: bool) -> None:
    """Print what will happen on stderr and ask to type the count. Raises CommandError as `confirm` does."""
    confirm(what, f"{count}", yes=yes)


def confirm(what: str, expected: str, *, yes: bool) -> None:
    """Print what will happen on stderr and ask to type `expected`, unless it is confirmed by `--yes`.

    Raises CommandError for another answer, an empty one, Ctrl-C, and where there is no terminal to ask at.
    """
    click.echo(printable(what), err=True)
    require_terminal(yes=yes)
    if yes:
        return
    answer = _ask(f"Type {printable(expected)} to confirm")
    if answer.strip().replace(",", "") != expected:
        raise CommandError(f"Nothing was done: the answer was not {printable(expected)}.")


def require_terminal(*, yes: bool) -> None:
    """Raise CommandError where nobody can be asked and `--yes` is missing, before work is done for a question."""
    if not yes and not is_interactive():
        raise CommandError("Nothing was done: there is no terminal to confirm it at; give --yes to do it.")


def is_interactive() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty()


def _ask(question: str) -> str:
    """Return the line that is typed. The question goes to stderr, since stdout is for results."""
    click.echo(f"{question}: ", nl=False, err=True)
    try:
        answer = sys.stdin.readline()
    except (KeyboardInterrupt, UnicodeDecodeError) as error:
        click.echo(err=True)
        raise CommandError("Nothing was done.") from error
    if not answer.endswith("\n"):
        click.echo(err=True)
    return answer
