from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.cursor import MalformedCursorError, encode_cursor
from operations.groups.cursor import decode_position, encode_position
from operations.groups.records import FIRST, FIRST_CLOSED, Position


@given(st.builds(Position, st.booleans(), st.datetimes(timezones=st.just(UTC)), st.uuids()))
def test_a_position_survives_its_cursor(position: Position) -> None:
    """To the microsecond, in fewer characters than a query may hold."""
    cursor = encode_position(position)
    assert decode_position(cursor) == position
    assert len(cursor) < 100


@pytest.mark.parametrize("position", [FIRST, FIRST_CLOSED])
def test_the_beginnings_have_cursors(position: Position) -> None:
    """A page of groups that are not folded ends where the others begin."""
    assert decode_position(encode_position(position)) == position


@given(st.text(max_size=100))
def test_anything_else_is_refused(text: str) -> None:
    """Whatever its characters are."""
    with pytest.raises(MalformedCursorError):
        decode_position(text)


def test_other_cursors_are_refused() -> None:
    """Those of other lists, and those that were changed."""
    cursor = encode_position(Position(True, datetime.now(UTC), uuid4()))
    for other in (encode_cursor(uuid4()), cursor[:-1], cursor + "A", "_" + cursor[1:], cursor[:-1] + "_"):
        with pytest.raises(MalformedCursorError):
            decode_position(other)
