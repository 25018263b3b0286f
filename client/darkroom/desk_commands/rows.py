"""Lists for people: aligned columns, and a text for each row where the terminal has room for it."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from darkroom.console import PIPE_WIDTH, UNKNOWN, printable, utc

WIDE = 132
"""Columns of a terminal from which on a text stands in its row; in a narrower one it stands below."""
CELL_COLUMNS = 48
"""Most columns of a cell in a terminal."""
_GAP = "  "
_INDENT = "  "
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Row(NamedTuple):
    """A line of a list."""

    cells: Sequence[Any]
    text: str = ""
    """A sentence, such as an error's message: the last column, or a line of its own."""
    where: str = ""
    """What stands before the text where that is a line of its own, such as what wide terminals have columns for."""
    notes: Sequence[str] = ()
    """Lines below."""


def is_wide() -> bool:
    """Return whether a row has room for its text: in a wide terminal, and in a pipe, which has no width."""
    columns = width()
    return columns is None or columns >= WIDE


def print_rows(columns: Sequence[str], rows: Iterable[Row], *, text: str, whole: bool = False) -> None:
    """Print rows in aligned columns. `text` is the heading of the texts.

    In a terminal no line exceeds its width: texts are shortened, or wrapped below their row where they are wanted
    `whole`; cells are bounded, so that one row doesn't push the columns of all others away. In a pipe everything is
    printed, in a line for each row.
    """
    shown = [row._replace(cells=[_cell(cell) for cell in row.cells]) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *(row.cells for row in shown), strict=True)]
    inline = is_wide() and not (whole and width())
    head = _line(columns, widths) + (_GAP + text if inline and any(row.text for row in shown) else "")
    click.echo(click.style(fitted(head.rstrip()), bold=True))
    for row in shown:
        for line in _lines(row, widths, inline, whole):
            click.echo(line)


def print_more(shown: str) -> None:
    """Print on stderr that others match too, and how to see them."""
    click.echo(f"These are {shown}; --limit shows more, filters show fewer.", err=True)


def plain(value: Any) -> str:
    """Return a value as one line that may be printed: times as ages in a terminal, and in UTC elsewhere."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, datetime):
        return utc(value) if width() is None else ago(value)
    return one_line(str(value))


def one_line(text: str) -> str:
    """Return a text as one line that may be printed."""
    return printable(" ".join(text.split("\n")))


def ago(moment: datetime) -> str:
    """Return how long ago a moment is: `4 min ago`."""
    return f"{age(moment)} ago"


def age(moment: datetime) -> str:
    """Return the time since a moment: `4 min`."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds // size} {unit}"


def shortened(text: str, columns: int) -> str:
    """Return the text in at most that number of columns of a terminal, with an ellipsis where something is missing."""
    return text if cell_len(text) <= columns else set_cell_size(text, max(0, columns - 1)).rstrip() + "…"


def _cell(value: Any) -> str:
    return plain(value) if width() is None else shortened(plain(value), CELL_COLUMNS)


def _lines(row: Row, widths: Sequence[int], inline: bool, whole: bool) -> Iterable[str]:
    line, text = _line(row.cells, widths), one_line(row.text)
    yield fitted(f"{line}{_GAP}{text}".rstrip() if inline else line.rstrip())
    below = [] if inline else [": ".join(filter(None, (one_line(row.where), text)))]
    for each in filter(None, (*below, *map(one_line, row.notes))):
        yield from indented(each) if whole else [fitted(f"{_INDENT}{each}")]


def indented(text: str) -> list[str]:
    """Return the lines of a text, indented and wrapped to the width of the terminal if there is one."""
    room = (width() or PIPE_WIDTH) - len(_INDENT)
    wrapped = Text(text).wrap(Console(width=room), room)
    return [f"{_INDENT}{line.plain.rstrip()}" for line in wrapped]


def fitted(line: str) -> str:
    """Return the line, shortened to the width of the terminal if there is one."""
    columns = width()
    return line if columns is None else shortened(line, columns)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell + " " * (room - cell_len(cell)) for cell, room in zip(cells, widths, strict=True))


def width() -> int | None:
    """Return the columns of the terminal, or None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
