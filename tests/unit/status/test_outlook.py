"""A waiting job's position and estimated start."""

from datetime import timedelta

import pytest

from status.outlook import estimate_start, place_among
from status.store import Mark, Pace
from tests.support.job_rows import NOON, job_row, numbered

MARKS = [Mark(NOON, numbered(5), 0), Mark(NOON, numbered(9), 100), Mark(NOON + timedelta(seconds=1), numbered(1), 200)]


@pytest.mark.parametrize(
    ("seconds", "number", "place"),
    [(0, 1, 0), (0, 5, 0), (0, 8, 0), (0, 9, 100), (0, 10, 100), (1, 1, 200), (5, 0, 200)],
)
def test_a_job_stands_at_the_last_mark_it_is_not_before(seconds: int, number: int, place: int) -> None:
    """Marks lie a hundred places apart, in the queue's order: by time, then by id."""
    row = job_row(id=numbered(number), queued_at=NOON + timedelta(seconds=seconds))
    assert place_among(MARKS, row) == place


def test_without_marks_the_place_is_zero() -> None:
    """The exact count is then used."""
    assert place_among([], job_row()) == 0


def test_the_start_follows_from_pace_and_workers() -> None:
    """Nine jobs and half of the running ones, at two seconds each, shared by two workers."""
    assert estimate_start(9, Pace(2.0, 2), None, NOON) == NOON + timedelta(seconds=9.5)


def test_without_a_pace_nothing_is_estimated() -> None:
    """The estimate is then null."""
    assert estimate_start(9, None, None, NOON) is None


def test_a_retry_is_not_estimated_before_it_is_due() -> None:
    """A job that waits for its retry cannot start earlier, however short the queue."""
    due = NOON + timedelta(minutes=5)
    assert estimate_start(0, Pace(1.0, 1), due, NOON) == due
