"""Decoding requests: JSON bodies and queries to typed Structs, or to problems that name the field."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from chassis.problems import ProblemError
from darkroom_contracts.errors import ApiError

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key` in `)?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_FIELD = 200

_FIELD_WORDING = {"missing required": "is missing; add it", "contains unknown": "is not a known field; remove it"}
_WORDING = {
    "got `float`": "must be a whole number, written without a decimal point",
    r"'^[^\\x00]": "must not hold NUL characters",  # the pattern of texts that may hold anything else
}


class BodyDecoder(Generic[T]):
    """Decodes the JSON bodies of a type.

    `wording` has what to say, in place of msgspec's complaint, by a part of the complaint: msgspec reports types and
    patterns, people need to know what to change. It adds to the wording that all bodies and queries have in common.
    """

    def __init__(self, type: type[T], wording: Mapping[str, str] | None = None) -> None:  # noqa: A002 - msgspec's name
        self._decode = msgspec.json.Decoder(type).decode
        self._wording = _WORDING | dict(wording or {})

    def __call__(self, body: bytes) -> T:
        """Decode a body.

        Raises ProblemError: 400 for a body that is not well-formed JSON, 422 with the field for any other wrong body.
        """
        try:
            return self._decode(body)
        except RecursionError:
            _refuse_json("it is nested too deeply")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _explain(body, error, self._wording)


def decode_query(parameters: Iterable[tuple[str, str]], type: type[S], wording: Mapping[str, str] | None = None) -> S:  # noqa: A002 - msgspec's name
    """Decode the parameters of a query. Raises ProblemError, 422, with the name of a parameter."""
    values: dict[str, str] = {}
    for name, value in parameters:
        if name in values:
            raise invalid(name, "must be sent once")
        if value.lower() == "null":  # msgspec would read it as an absent value
            raise invalid(name, "must not be null; leave it out")
        values[name] = value
    try:
        return msgspec.convert(values, type, strict=False)
    except msgspec.ValidationError as error:
        raise _translated(str(error), _WORDING | dict(wording or {})) from None  # the complaint is in the problem


def invalid(field: str, what: str) -> ProblemError:
    """Return a 422 for the field. `what` continues the sentence that begins with the field's name."""
    # A name from the request may be long, or contain half a surrogate pair, which cannot be encoded.
    name = field[:_LONGEST_FIELD].encode(errors="replace").decode()
    return ProblemError(ApiError.INVALID_REQUEST, f"{name or 'The body'} {what}.", field=name)


def _explain(body: bytes, error: Exception, wording: Mapping[str, str]) -> NoReturn:
    """Raise the problem. msgspec stops at its first error, so what follows it can still be malformed."""
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant, parse_int=str)
        surrogate = next(_lone_surrogates(document, ""), None)
    except RecursionError:
        _refuse_json("it is nested too deeply")
    except ValueError as reason:
        _refuse_json(str(reason))
    if surrogate is not None:
        raise invalid(surrogate, "must not hold lone surrogates")
    if not isinstance(error, msgspec.ValidationError):
        _refuse_json(str(error))
    raise _translated(str(error), wording)


def _translated(complaint: str, wording: Mapping[str, str]) -> ProblemError:
    match = _COMPLAINT.fullmatch(complaint)
    assert match is not None
    path = (match["path"] or "").replace("[...]", "")
    what = match["what"]
    if named := _NAMED.fullmatch(what):
        field = _join(path, named["name"])
        return invalid(field, _FIELD_WORDING[named["what"]])
    plain = next((words for sign, words in wording.items() if sign in what), None)
    return invalid(path, plain or f"is wrong: {what[:1].lower()}{what[1:]}")


def _lone_surrogates(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of strings and names that contain half a surrogate pair."""
    path = path[:_LONGEST_FIELD]  # each item copies it, and one name can be half of the body
    if isinstance(value, str) and _LONE_SURROGATE.search(value):
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _lone_surrogates(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _lone_surrogates(name, _join(path, name))
            yield from _lone_surrogates(item, _join(path, name))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_json(reason: str) -> NoReturn:
    raise ProblemError(ApiError.INVALID_JSON, f"The body is not well-formed JSON: {reason}.")
