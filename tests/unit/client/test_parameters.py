from datetime import UTC, datetime, timedelta

import click
import pytest

from darkroom.parameters import Assignment, Duration, FutureMoment, Moment, WholeDays


@pytest.mark.parametrize(
    ("text", "pair"), [("order=7", ("order", "7")), ("a=b=c", ("a", "b=c")), ("empty=", ("empty", ""))]
)
def test_an_assignment_has_a_key_and_a_value(text: str, pair: tuple[str, str]) -> None:
    """The first equals sign ends the key; the value may be empty or contain further ones."""
    assert Assignment().convert(text, None, None) == pair


@pytest.mark.parametrize("text", ["secret", "=secret", ""])
def test_an_assignment_that_is_malformed_is_not_quoted(text: str) -> None:
    """The error says how to write it and does not repeat what may be a secret."""
    with pytest.raises(click.BadParameter) as raised:
        Assignment().convert(text, None, None)
    assert raised.value.message == "Write KEY=VALUE."


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


@pytest.mark.parametrize(("text", "days"), [("1d", 1), ("48h", 2), ("1440m", 1)])
def test_whole_days_may_be_written_in_any_unit(text: str, days: int) -> None:
    """As long as they are whole."""
    assert WholeDays().convert(text, None, None) == timedelta(days=days)


@pytest.mark.parametrize(("text", "message"), [("36h", "not a number of whole days"), ("soon", "not a duration")])
def test_a_part_of_a_day_is_refused(text: str, message: str) -> None:
    """With examples of what is right."""
    with pytest.raises(click.BadParameter, match=message):
        WholeDays().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "ago"), [("30m", timedelta(minutes=30)), ("2h", timedelta(hours=2)), ("3d", timedelta(days=3))]
)
def test_a_duration_is_a_moment_before_now(text: str, ago: timedelta) -> None:
    """Minutes, hours and days count back from now."""
    before = datetime.now(UTC)
    moment = Moment().convert(text, None, None)
    assert before - ago <= moment <= datetime.now(UTC) - ago


@pytest.mark.parametrize("text", ["2026-11-21T12:00Z", "2026-11-21T12:00:00", "2026-11-21T13:00+01:00"])
def test_a_time_is_in_utc_unless_it_has_an_offset(text: str) -> None:
    """ISO 8601 times with and without an offset become the same moment in UTC."""
    assert Moment().convert(text, None, None) == datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [("yesterday", "is not a time; write 30m, 2h, 3d or"), ("0h", "is not a time"), ("2999-01-01", "in the future")],
)
def test_another_text_is_refused_with_an_example(text: str, message: str) -> None:
    """The error names the text and shows what to write."""
    with pytest.raises(click.BadParameter, match=message):
        Moment().convert(text, None, None)


def test_a_moment_to_come_is_a_duration_from_now_or_a_time() -> None:
    """As a past moment is written."""
    before = datetime.now(UTC)
    assert timedelta(hours=2) <= FutureMoment().convert("2h", None, None) - before < timedelta(hours=2, minutes=1)
    assert FutureMoment().convert("2100-01-01T12:00", None, None) == datetime(2100, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "sentence"), [("2026-11-20", "lies in the past; give a time to come"), ("soon", "is not a time")]
)
def test_a_moment_that_is_over_is_refused(text: str, sentence: str) -> None:
    """With what to write instead."""
    with pytest.raises(click.BadParameter, match=sentence):
        FutureMoment().convert(text, None, None)
