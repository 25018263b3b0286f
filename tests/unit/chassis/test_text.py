"""Text that Postgres can store."""

import pytest

from chassis.text import storable


@pytest.mark.parametrize("text", ["", "plain", "größer\n\t", "\N{ARTIST PALETTE}", "\x01\x7f"])
def test_what_postgres_takes_stays_as_it_is(text: str) -> None:
    """Text without NUL and lone surrogates is unchanged, control characters included."""
    assert storable(text) == text


def test_what_postgres_refuses_is_replaced() -> None:
    """NUL and lone surrogates are replaced, and the length is unchanged."""
    assert storable("\x00a\ud800b\x00") == "\N{REPLACEMENT CHARACTER}a?b\N{REPLACEMENT CHARACTER}"
