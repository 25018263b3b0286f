"""Generated sections of documents."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from darkroom_contracts.states import JobStatus
from tools.docs.documents import SectionError, fill
from tools.docs.fields import describe, fields_of, table

TEXT = "before\n<!-- generated: one; see tools/docs -->\nold\n<!-- end of one -->\nafter\n"


def test_a_section_is_filled_between_its_markers() -> None:
    """All else stays as it is, and filling it again changes nothing."""
    filled = fill(TEXT, {"one": lambda: "new\n"})
    assert filled == TEXT.replace("old", "new")
    assert fill(filled, {"one": lambda: "new\n"}) == filled


@pytest.mark.parametrize(
    ("text", "names"), [(TEXT, ["one", "two"]), (TEXT, []), (TEXT + TEXT, ["one"]), ("no markers", ["one"])]
)
def test_a_missing_or_surplus_section_is_an_error(text: str, names: list[str]) -> None:
    """A marker that was mistyped would leave its section as it is for good."""
    with pytest.raises(SectionError):
        fill(text, {name: lambda: "" for name in names})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "whole number"),
        (Annotated[int, Meta(ge=1, le=65535)], "whole number, 1 to 65,535"),
        (Annotated[int, Meta(ge=1)] | None, "whole number, at least 1"),
        (Annotated[float, Meta(gt=0, le=1.5)], "number, above 0, at most 1.5"),
        (Annotated[str, Meta(min_length=1, max_length=4000)], "text, 1 to 4,000 characters"),
        (Annotated[str, Meta(pattern="^a|b$", description="A letter.")], "text, matching `^a|b$`"),
        (bool, "`true` or `false`"),
        (Literal["b", "a"], "`a`, `b`"),
        (JobStatus, "`queued`, `running`, `succeeded`, `failed`, `canceled`, `expired`"),
        (Annotated[tuple[int, ...], Meta(min_length=1, max_length=8)], "list, 1 to 8 items, each: whole number"),
        (Annotated[dict[str, str], Meta(max_length=16)], "object, at most 16 members"),
        (UUID, "UUID"),
        (datetime, "time, RFC 3339"),
    ],
)
def test_a_type_is_described_with_its_bounds(kind: Any, words: str) -> None:
    """Null goes without saying."""
    assert describe(msgspec.inspect.type_info(kind), patterns=True) == words


def test_a_type_without_words_is_an_error() -> None:
    """A new kind of field is noticed instead of being left out."""
    with pytest.raises(TypeError, match="no words"):
        describe(msgspec.inspect.type_info(complex | None))


class Oven(msgspec.Struct):
    heat: Annotated[float, Meta(description="Degrees.")]
    rack: int = 3
    light: Annotated[str | None, Meta(extra={"default": "the kitchen's"})] = None
    shelves: tuple[int, ...] = (1, 2)
    notes: list[str] = []
    hours: float = 2.0
    timer: float | None = None


def test_defaults_are_written_as_they_are_set() -> None:
    """A default that something else decides is described in words."""
    assert [(field.name, field.default) for field in fields_of(Oven)] == [
        ("heat", None),
        ("rack", "`3`"),
        ("light", "the kitchen's"),
        ("shelves", "`1,2`"),
        ("notes", "`[]`"),
        ("hours", "`2`"),
        ("timer", "none"),
    ]
    assert next(fields_of(Oven)).description == "Degrees."


def test_a_bar_does_not_end_a_cell() -> None:
    """Markdown would take it for a column."""
    assert table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"
