"""The time in ids that Postgres makes with uuidv7().

Source: RFC 9562, section 5.7, and PostgreSQL 18's documentation of the function: 48 bits of milliseconds, 4 bits of
version, 12 bits of a fraction of a millisecond.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = 0x7 << 76
_FRACTIONS = 1 << 12
_MICROSECOND = timedelta(microseconds=1)


def moment_of(the_id: UUID) -> datetime:
    """Return when an id was made, in whole microseconds that are not later."""
    milliseconds, fraction = the_id.int >> 80, the_id.int >> 64 & _FRACTIONS - 1
    return EPOCH + timedelta(milliseconds=milliseconds, microseconds=fraction * 1000 // _FRACTIONS)


def first_id_at(moment: datetime) -> UUID:
    """Return a lower bound of the ids since a moment; the epoch stands for all earlier moments.

    Not above the ids whose `moment_of` it is.
    """
    microseconds = max((moment - EPOCH) // _MICROSECOND, 0)
    milliseconds, rest = divmod(microseconds, 1000)
    fraction = -(-rest * _FRACTIONS // 1000)
    return UUID(int=milliseconds << 80 | _VERSION | fraction << 64)
