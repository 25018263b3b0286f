"""Cursors of the audit log."""

import struct
from datetime import timedelta

from chassis.cursor import MalformedCursorError, seal, unseal
from chassis.moments import EPOCH
from operations.audit.records import Position

_VERSION = 1
_FORM = struct.Struct(">Bqq")
"""Version, microseconds, id."""
_MICROSECOND = timedelta(microseconds=1)


def encode_position(last: Position) -> str:
    """Return the cursor of a page that ends with an entry."""
    return seal(_FORM.pack(_VERSION, (last.at - EPOCH) // _MICROSECOND, last.id))


def decode_position(text: str) -> Position:
    """Return the entry after which a page begins. Raises MalformedCursorError."""
    try:
        version, microseconds, identifier = _FORM.unpack(unseal(text))
        position = Position(EPOCH + microseconds * _MICROSECOND, identifier)
    except (struct.error, OverflowError) as error:
        raise MalformedCursorError from error
    if version != _VERSION:
        raise MalformedCursorError
    return position
