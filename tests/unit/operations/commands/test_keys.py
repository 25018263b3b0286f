from datetime import timedelta

import click
import pytest

from operations.commands.keys import Duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [("30m", timedelta(minutes=30)), ("12h", timedelta(hours=12)), ("90d", timedelta(days=90))],
)
def test_a_duration_has_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    """Minutes, hours and days are understood."""
    assert Duration().convert(text, None, None) == duration


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1y", "90 d", "999999d", "1d\n"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    """Anything else is refused with examples of what is right."""
    with pytest.raises(click.BadParameter, match="write 30m, 12h or 90d"):
        Duration().convert(text, None, None)
