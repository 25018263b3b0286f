"""Lists for people: aligned columns, and a text for each row where the terminal has room for it."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
from rich.cells import cell_len, set_cell_size

from darkroom.console import UNKNOWN, printable

WIDE = 132
"""Columns of a terminal from which on a text stands in its row; in a narrower one it stands below."""
_GAP = "  "
_INDENT = "  "
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Row(NamedTuple):
    """A line of a list."""

    cells: Sequence[Any]
    text: str = ""
    """What is told in a sentence: the last column, or a line of its own."""
    where: str = ""
    """What stands before the text where that is a line of its own, such as what wide terminals have columns for."""
    notes: Sequence[str] = ()
    """Lines below."""


def is_wide() -> bool:
    """Return whether a row has room for its text: in a wide terminal, and in a pipe, which has no width."""
    return _width() is None or (_width() or 0) >= WIDE


def print_rows(columns: Sequence[str], rows: Iterable[Row], *, text: str) -> None:
    """Print rows in aligned columns. `text` is the heading of the texts.

    In a terminal a line never exceeds its width: texts are shortened. In a pipe everything is printed whole, a line for
    each row.
    """
    shown = [row._replace(cells=[plain(cell) for cell in row.cells]) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(columns, *(row.cells for row in shown), strict=True)]
    wide = is_wide()
    head = _line(columns, widths) + (_GAP + text if wide else "")
    click.echo(click.style(head.rstrip(), bold=True))
    for row in shown:
        for line in _lines(row, widths, wide):
            click.echo(line)


def plain(value: Any) -> str:
    """Return a value as one line that may be printed: times as ages in a terminal, and in UTC elsewhere."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if _width() is None else ago(value)
    return one_line(str(value))


def one_line(text: str) -> str:
    """Return a text as one line that may be printed."""
    return printable(" ".join(text.split("\n")))


def ago(moment: datetime) -> str:
    """Return how long ago a moment is: `4 min ago`."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds // size} {unit} ago"


def shortened(text: str, width: int) -> str:
    """Return the text in at most `width` columns of a terminal, with an ellipsis where something is missing."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def _lines(row: Row, widths: Sequence[int], wide: bool) -> Iterable[str]:
    line, text = _line(row.cells, widths), one_line(row.text)
    if wide:
        yield fitted(f"{line}{_GAP}{text}".rstrip())
    else:
        yield fitted(line.rstrip())
        below = ": ".join(filter(None, (one_line(row.where), text)))
        yield from [fitted(f"{_INDENT}{below}")] if below else []
    yield from (fitted(f"{_INDENT}{one_line(note)}") for note in row.notes)


def fitted(line: str) -> str:
    """Return the line, shortened to the width of the terminal if there is one."""
    width = _width()
    return line if width is None else shortened(line, width)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
