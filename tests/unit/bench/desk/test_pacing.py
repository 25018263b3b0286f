"""The report of paced replays."""

import pytest

from bench.desk.pacing import Paced, Plan, render


def test_a_round_is_compared_with_what_its_pace_allows() -> None:
    """Replayed letters as a share of pace times seconds."""
    assert Paced(Plan(50), 60, 2940, 0.1).share == pytest.approx(0.98)


def test_the_report_has_a_row_for_each_round() -> None:
    """With its kills, its share and its longest pause, and the rate without a pace at the end."""
    lines = render([Paced(Plan(10), 60, 600, 0.11), Paced(Plan(50, kills=1), 60, 2940, 1.489)], 60, 181.4)
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert [[cell.strip() for cell in row.split("|")[1:6]] for row in rows] == [
        ["10", "0", "600", "1.000", "0.11"],
        ["50", "1", "2,940", "0.980", "1.49"],
        ["none", "0", "2,000", "181 letters/s", ""],
    ]
