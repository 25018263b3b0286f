from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from chassis.headers import TOO_DEEP, json_safe

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (2**63, 2**63),
        (1.5, 1.5),
        ("plain \N{SNOWMAN}", "plain \N{SNOWMAN}"),
        ("a\x00b", {"$bytes": "YQBi"}),
        (b"\xff\x00", {"$bytes": "/wA="}),
        (bytearray(b"\xff"), {"$bytes": "/w=="}),
        (AT, {"$timestamp": "2026-11-21T12:00:00+00:00"}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (float("nan"), {"$float": "nan"}),
        (float("-inf"), {"$float": "-inf"}),
        ([b"\x00", {"at": AT}], [{"$bytes": "AA=="}, {"at": {"$timestamp": "2026-11-21T12:00:00+00:00"}}]),
    ],
)
def test_every_type_of_a_header_has_a_form(value: Any, form: Any) -> None:
    """Every AMQP type has a JSON form that preserves it, at any depth."""
    assert json_safe({"header": value}) == {"header": form}


@pytest.mark.parametrize("key", ["$bytes", "$table", "a\x00b"])
def test_a_table_that_could_be_mistaken_is_written_as_pairs(key: str) -> None:
    """A table with a key that starts with `$`, or contains NUL, is encoded as key and value pairs."""
    assert json_safe({key: 1, "x": b"\x00"}) == {"$table": [[json_safe(key), 1], ["x", {"$bytes": "AA=="}]]}


def test_the_form_has_no_nul() -> None:
    """The JSON form contains no NUL, which Postgres would refuse."""
    encoded = msgspec.json.encode(json_safe({"a\x00": ["\x00", b"\x00"]}))
    assert b"\\u0000" not in encoded


def test_tables_nested_by_the_hundred_have_a_form() -> None:
    """A table that pamqp decodes, but that is nested too deeply to be encoded, does not raise."""
    table: dict[str, Any] = {}
    for _ in range(450):
        table = {"k": table}
    assert json_safe({"deep": table}) == TOO_DEEP
