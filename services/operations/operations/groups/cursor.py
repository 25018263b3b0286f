"""Cursors of the list of groups, whose order is not that of their ids."""

import struct
from datetime import timedelta
from uuid import UUID

from chassis.cursor import MalformedCursorError, seal, unseal
from chassis.moments import EPOCH
from operations.groups.records import Position

_VERSION = 1
_FORM = struct.Struct(">B?q16s")
"""Version, whether the group is open, microseconds, id."""
_MICROSECOND = timedelta(microseconds=1)


def encode_position(last: Position) -> str:
    """Return the cursor of a page that ends with a group."""
    return seal(_FORM.pack(_VERSION, last.is_open, (last.seen_at - EPOCH) // _MICROSECOND, last.id.bytes))


def decode_position(text: str) -> Position:
    """Return the group after which a page begins. Raises MalformedCursorError."""
    try:
        version, is_open, microseconds, identifier = _FORM.unpack(unseal(text))
        position = Position(is_open, EPOCH + microseconds * _MICROSECOND, UUID(bytes=identifier))
    except (struct.error, OverflowError) as error:
        raise MalformedCursorError from error
    if version != _VERSION or encode_position(position) != text:
        raise MalformedCursorError
    return position
