"""Output of all commands: tables for people, JSON for programs, one sentence for an error."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

UNKNOWN = "-"
PIPE_WIDTH = 1000


class CommandError(click.ClickException):
    """The command failed. Its message says what happened and what to do next; the exit code is 1."""

    def format_message(self) -> str:
        """Return the message without control characters: parts of it may come from outside."""
        return printable(super().format_message())


def discard_output() -> None:
    """Discard what was printed and can't be written: it would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def limit_option(what: str, *, least: int = 1, default: int = 50) -> Callable[[Any], Any]:
    """Give a command `--limit`: the number of `what` it prints."""
    number = click.IntRange(least, 10_000)
    return click.option("--limit", type=number, default=default, show_default=True, help=f"Number of {what}.")


def print_json(value: Any) -> None:
    """Print a value that msgspec can encode as indented JSON. Control characters and the like are escaped."""
    sys.stdout.write(indented_json(value) + "\n")


def indented_json(value: Any) -> str:
    """Return a value that msgspec can encode as indented JSON that may be printed."""
    return escaped(msgspec.json.format(msgspec.json.encode(value)).decode())


def escaped(json: str) -> str:
    """Escape what a terminal might interpret, such as bidirectional overrides; JSON itself allows it in strings."""
    if json.isprintable():
        return json
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in json)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table. Cells are plain text and never truncated, and the column `id` is never wrapped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*map(_cell, row))
    # Cells may hold text from users, so markup is not interpreted. A pipe has no width to wrap at.
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(markup=False, highlight=False, emoji=False, width=width).print(table)


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """Print a line for each name and value. Values are never wrapped, so that they can be copied."""
    shown = [(name, _cell(value)) for name, value in fields]
    width = max(len(name) for name, _ in shown) + 2
    for name, value in shown:
        click.echo(click.style(name.ljust(width), bold=True) + value.replace("\n", "\n" + " " * width))


@contextmanager
def status_line(text: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a line that changes on stderr if that is a terminal. Yields a function that replaces its text."""
    stderr = Console(stderr=True)
    if quiet or not stderr.is_terminal:
        yield _ignore
        return
    with stderr.status(text, spinner="line") as line:
        yield line.update


def _ignore(text: str) -> None:
    """Show nothing: where there is no terminal, the result is enough."""


def printable(text: str) -> str:
    """Return the text with its control characters replaced, since they must not reach a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def utc(moment: datetime) -> str:
    """Return a moment as people write it: `2026-11-28 14:02:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return utc(value)
    return printable(str(value))
