from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click
import pytest
from rich.cells import cell_len

from darkroom.console import utc
from darkroom.desk_commands.rows import Row, age, ago, one_line, print_rows, shortened
from tests.support.hostile import HOSTILE, assert_safe

Terminal = Callable[[int], None]
LONG = "It failed because of the weather, " * 10


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return click.unstyle(capsys.readouterr().out).splitlines()


def test_a_pipe_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    """With everything in full, so that programs can divide it."""
    print_rows(("id", "count"), [Row((1, "1,200"), LONG, notes=("seen",)), Row((22, None), "short")], text="error")
    assert printed(capsys) == [
        "id  count  error",
        f"1   1,200  {LONG}".rstrip(),
        "  seen",
        "22  -      short",
    ]


def test_a_narrow_terminal_has_texts_below(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """Where they are from stands before them, and no line is longer than the terminal is wide."""
    at_terminal(40)
    print_rows(("id", "count"), [Row((1, 2), LONG, where="tiny"), Row((3, 4), "short")], text="error")
    lines = printed(capsys)
    assert lines[:2] == ["id  count", "1   2"]
    assert lines[2].startswith("  tiny: It failed because")
    assert (lines[2][-1], len(lines[2]) <= 40) == ("…", True)
    assert lines[3:] == ["3   4", "  short"]


def test_a_wide_terminal_has_texts_in_their_row(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """Shortened to its width."""
    at_terminal(160)
    print_rows(("id",), [Row((1,), LONG, where="tiny")], text="error")
    heading, line = printed(capsys)
    assert (heading, len(line), line[:12], line[-1]) == ("id  error", 160, "1   It faile", "…")


@pytest.mark.parametrize("columns", [40, 160])
def test_texts_that_are_wanted_whole_are_wrapped(
    at_terminal: Terminal, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """Nothing is left out, whatever the width."""
    at_terminal(columns)
    print_rows(("id",), [Row((1,), LONG)], text="error", whole=True)
    heading, first, *wrapped = printed(capsys)
    assert (heading, first) == ("id", "1")
    assert " ".join(line.strip() for line in wrapped) == LONG.strip()
    assert max(map(len, wrapped)) <= columns
    assert all(line.startswith("  ") for line in wrapped)


def test_wide_characters_stay_in_their_column(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """They take two columns of a terminal each."""
    at_terminal(60)
    print_rows(("name", "count"), [Row(("写真写真", 1)), Row(("photo", 2))], text="")
    heading, wide, narrow = printed(capsys)
    assert [cell_len(line[: line.index(end)]) for line, end in ((heading, "count"), (wide, "1"), (narrow, "2"))] == [
        10,
        10,
        10,
    ]
    assert cell_len(shortened("写" * 50, 9)) <= 9


def test_a_long_cell_leaves_room_for_the_columns_of_others(
    at_terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as a model's name in a forged message. A pipe gets all of it."""
    rows = [Row(("x" * 5000, "first")), Row(("tiny", "second"))]
    print_rows(("model", "count"), rows, text="")
    at_terminal(80)
    print_rows(("model", "count"), rows, text="")
    lines = printed(capsys)
    assert lines[1].split() == ["x" * 5000, "first"]
    assert [line.split()[-1] for line in lines[4:]] == ["first", "second"]
    assert max(map(len, lines[3:])) <= 80


def test_times_are_ages_in_a_terminal(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """And in UTC elsewhere."""
    moment = datetime.now(UTC) - timedelta(minutes=5)
    print_rows(("at",), [Row((moment,))], text="")
    at_terminal(80)
    print_rows(("at",), [Row((moment,))], text="")
    assert printed(capsys) == ["at", utc(moment), "at", "5 min ago"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_ages_have_one_unit(since: timedelta, expected: str) -> None:
    """A clock that is late makes no age negative."""
    moment = datetime.now(UTC) - since
    assert (age(moment), ago(moment)) == (expected, f"{expected} ago")


@pytest.mark.parametrize("columns", [None, 80, 160])
def test_nothing_from_outside_leaves_its_line(
    at_terminal: Terminal, capsys: pytest.CaptureFixture[str], columns: int | None
) -> None:
    """A forged line end makes no row, and no character moves the cursor."""
    if columns:
        at_terminal(columns)
    forged = f"{HOSTILE}\n01993b5c-0001-7000-8000-0000000000d1  job"
    print_rows(("id", "model"), [Row((1, forged), forged, where=forged, notes=[forged])], text="message")
    output = capsys.readouterr().out
    assert_safe(output)
    assert not [line for line in click.unstyle(output).splitlines() if line.startswith("01993b5c")]
    assert len(output.splitlines()) <= 4
    assert "\n" not in one_line(forged)
