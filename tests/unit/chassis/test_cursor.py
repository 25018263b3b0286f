"""Cursors: opaque, versioned, refused unless a list returned them, and null on the last page."""

import base64
from contextlib import suppress
from string import ascii_letters, digits
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.cursor import MalformedCursorError, decode_cursor, encode_cursor, next_cursor, seal, unseal

ID = UUID("01993b5c-0007-7000-8000-00000000000d")
CURSOR = "AQGZO1wAB3AAgAAAAAAAAA0"


def test_a_cursor_is_pinned() -> None:
    """The cursors of an earlier release stay valid."""
    assert encode_cursor(ID) == CURSOR
    assert decode_cursor(CURSOR) == ID


def test_every_id_survives_a_round_trip() -> None:
    """Whatever the bytes are, and in characters that a URL holds unchanged."""
    for number in (0, (1 << 128) - 1, *(uuid4().int for _ in range(100))):
        text = encode_cursor(UUID(int=number))
        assert decode_cursor(text) == UUID(int=number)
        assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(ID),
        CURSOR[:-1],
        CURSOR + "=",
        CURSOR[:-1] + "1",  # the same bytes, written differently
        CURSOR[:-1] + "+",
        CURSOR[:-1] + " ",
        CURSOR[:-1] + "\n",
        "\N{FULLWIDTH LATIN CAPITAL LETTER A}" + CURSOR[1:],
        base64.urlsafe_b64encode(b"\x02" + ID.bytes).decode().rstrip("="),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """Another length, alphabet, spelling or version."""
    with pytest.raises(MalformedCursorError):
        decode_cursor(text)


def ids(*numbers: int) -> list[UUID]:
    return [UUID(int=number) for number in numbers]


@pytest.mark.parametrize(
    ("seen", "shown", "last"),
    [
        ([], [], None),
        ([9, 8], [9, 8], None),
        ([9, 8, 7], [9, 8], 8),  # one more was seen
        ([9, 8, 7], [9], 7),  # all were looked at, one matched: the next page begins after them
        ([9, 8, 7], [], 7),
        ([9, 8], [9], None),
        ([9, 8, 7], [9, 7], 7),  # others can follow the last one that was seen
    ],
)
def test_a_cursor_says_whether_more_follow(seen: list[int], shown: list[int], last: int | None) -> None:
    """Of a page of two that looks at three at the most. Nothing is shown twice or left out."""
    expected = None if last is None else encode_cursor(UUID(int=last))
    assert next_cursor(ids(*seen), ids(*shown), 2, 3) == expected


@given(st.binary(max_size=40))
def test_bytes_survive_their_seal(content: bytes) -> None:
    """Of any length, in characters that a URL holds unchanged."""
    text = seal(content)
    assert unseal(text) == content
    assert not text.strip(ascii_letters + digits + "-_")


@given(st.text(alphabet="AQgwz_-=+/\n \N{FULLWIDTH LATIN CAPITAL LETTER A}", max_size=12))
def test_bytes_have_one_spelling(text: str) -> None:
    """A text is refused, or is the one that sealing its bytes returns."""
    with suppress(MalformedCursorError):
        assert seal(unseal(text)) == text
