"""Types of the parameters that several commands have."""

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"([1-9][0-9]{0,4})([mhd])")


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


class Moment(click.ParamType[datetime]):
    """A past moment: a duration before now such as 30m, 2h or 3d, or an ISO 8601 time, UTC unless it has an offset."""

    name = "moment"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        moment = _before(now, value) or self._time(value, param, ctx)
        if moment > now:
            self.fail(f"{value} lies in the future; give a past time.", param, ctx)
        return moment

    def _time(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time; write 30m, 2h, 3d or 2026-11-28T09:00Z.", param, ctx)


def _before(now: datetime, text: str) -> datetime | None:
    found = _AGO.fullmatch(text)
    return now - timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
