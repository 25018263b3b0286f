"""Types of the parameters that several commands have."""

import math
import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")


class Assignment(click.ParamType[tuple[str, str]]):
    """KEY=VALUE; the value may contain further equals signs, and may be empty."""

    name = "assignment"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, separator, text = value.partition("=")
        if not key or not separator:
            self.fail("Write KEY=VALUE.", param, ctx)  # not quoted: the value may be a secret
        return key, text


def finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """Return the number of an option. JSON has no infinities and no NaN: they would be sent as if nothing was given."""
    if value is None or math.isfinite(value):
        return value
    raise click.BadParameter(f"{value} is not a finite number.", ctx, param)


class Duration(click.ParamType[timedelta]):
    """A number of minutes, hours or days: 30m, 12h, 90d."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        duration = _duration(value)
        if duration is None:
            self.fail(f"{value!r} is not a duration; write 30m, 12h or 90d.", param, ctx)
        return duration


class WholeDays(Duration):
    """A duration of whole days: 90d, 48h."""

    name = "days"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        duration = super().convert(value, param, ctx)
        if duration % timedelta(days=1):
            self.fail(f"{value!r} is not a number of whole days; write 1d, 90d or 365d.", param, ctx)
        return duration


class Moment(click.ParamType[datetime]):
    """A past moment: a duration before now such as 30m, 2h or 3d, or an ISO 8601 time, UTC unless it has an offset."""

    name = "moment"
    _direction = -1
    _refusal = "lies in the future; give a past time."

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        now, duration = datetime.now(UTC), _duration(value)
        moment = self._time(value, param, ctx) if duration is None else now + self._direction * duration
        if (moment - now) * self._direction < timedelta():
            self.fail(f"{value} {self._refusal}", param, ctx)
        return moment

    def _time(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time; write 30m, 2h, 3d or 2026-11-28T09:00Z.", param, ctx)


class FutureMoment(Moment):
    """A moment to come: a duration from now such as 30m, 2h or 3d, or a time as a past moment has it."""

    _direction = 1
    _refusal = "lies in the past; give a time to come."


def _duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
