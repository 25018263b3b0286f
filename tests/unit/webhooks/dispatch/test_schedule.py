"""The schedule of attempts."""

import pytest

from webhooks.dispatch.schedule import LENGTH, PAUSES, pause_after


def test_the_schedule_outlasts_a_weekend() -> None:
    """Ten attempts in 75.6 hours."""
    assert PAUSES == (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert sum(PAUSES) / 3600 == pytest.approx(75.6, abs=0.05)
    assert LENGTH.total_seconds() == pytest.approx(sum(PAUSES) * 1.2)


def test_a_pause_varies_by_a_fifth() -> None:
    """Deliveries that failed together do not return together."""
    for failures, pause in enumerate(PAUSES, start=1):
        drawn = [pause_after(failures) or 0 for _ in range(200)]
        assert pause * 0.8 <= min(drawn) < pause < max(drawn) <= pause * 1.2


def test_after_the_last_attempt_there_is_none() -> None:
    """The tenth failure ends the delivery."""
    assert pause_after(len(PAUSES)) is not None
    assert pause_after(len(PAUSES) + 1) is None
