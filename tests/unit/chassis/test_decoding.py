"""Decoding requests into Structs, or into problems that name the field."""

import time
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from chassis.decoding import BodyDecoder, decode_query
from chassis.problems import ProblemError

ID = UUID("01993b5c-0000-7000-8000-000000000001")


class Colour(StrEnum):
    RED = "red"


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    job: UUID | None = None
    colour: Colour | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=3)] | None = None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern="^[a-z]+$")]


def refusal(error: ProblemError) -> tuple[int, str, str]:
    """Return status, field and detail of a problem."""
    return error.problem.status, str(error.problem.field), str(error.problem.detail)


def test_a_query_is_decoded() -> None:
    """Texts become the types of the fields, and absent parameters their defaults."""
    parameters = [("job", str(ID)), ("limit", "7"), ("colour", "red")]
    assert decode_query(parameters, Query) == Query(ID, Colour.RED, 7)
    assert decode_query([], Query) == Query()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "many")], "limit"),
        ([("limit", "")], "limit"),
        ([("limit", "9" * 6000)], "limit"),
        ([("job", "7")], "job"),
        ([("colour", "blue")], "colour"),
        ([("colour", "null")], "colour"),
        ([("job", "NULL")], "job"),
        ([("cursor", "long")], "cursor"),
        ([("limit", "1"), ("limit", "2")], "limit"),
        ([("page", "2")], "page"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: list[tuple[str, str]], field: str) -> None:
    """Wrong, repeated and unknown parameters are refused."""
    with pytest.raises(ProblemError) as caught:
        decode_query(parameters, Query)
    assert refusal(caught.value)[:2] == (422, field)


def test_a_body_is_explained_in_given_words() -> None:
    """Where there are none, the library's complaint names the type."""
    body = b'{"name": "7"}'
    with pytest.raises(ProblemError) as caught:
        BodyDecoder(Body, {"matching regex '^[a-z]": "must have small letters"})(body)
    assert refusal(caught.value) == (422, "name", "name must have small letters.")
    with pytest.raises(ProblemError) as caught:
        BodyDecoder(Body)(b'{"name": 7}')
    assert refusal(caught.value) == (422, "name", "name is wrong: expected `str`, got `int`.")
    assert BodyDecoder(Body)(b'{"name": "a"}') == Body("a")


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    some: Annotated[str, Meta(pattern=r"^[^\x00]+$")] = "-"
    any: Annotated[str, Meta(pattern=r"^[^\x00]*$")] = ""


@pytest.mark.parametrize("field", ["some", "any"])
def test_nul_is_refused_in_the_same_words_everywhere(field: str) -> None:
    """In bodies and in queries, whatever else a caller words."""
    expected = 422, field, f"{field} must not hold NUL characters."
    for wording in ({}, {"^https": "must be a URL"}):
        with pytest.raises(ProblemError) as caught:
            BodyDecoder(Text, wording)(f'{{"{field}": "\\u0000"}}'.encode())
        assert refusal(caught.value) == expected
        with pytest.raises(ProblemError) as caught:
            decode_query([(field, "\0")], Text, wording)
        assert refusal(caught.value) == expected


def test_a_long_name_around_many_items_costs_no_more_than_a_short_one() -> None:
    """The path of each item has the names around it; others wait while a body is decoded."""
    items = ",".join(["1"] * 16_000)
    long, short = (
        min(_seconds(f'{{"{name}": [{items}]}}'.encode()) for _ in range(3)) for name in ("🌈" + "x" * 30_000, "x")
    )
    assert long < 3 * short


def _seconds(body: bytes) -> float:
    """Return the processor time of a refusal."""
    started = time.process_time()
    with pytest.raises(ProblemError):
        BodyDecoder(Body)(body)
    return time.process_time() - started
