"""Decoding a request: a JobRequest, or a problem that names the field."""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

from chassis.problems import ProblemError
from darkroom_contracts.api import JobRequest
from darkroom_contracts.errors import ApiError

_decode = msgspec.json.Decoder(JobRequest).decode

_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key` in `)?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_FIELD = 200

# msgspec reports types and patterns; people need to know what to change.
_WORDING = {
    "got `float`": "must be a whole number, written without a decimal point",
    "matching regex '^https": "must be an http or https URL without user, password or spaces",
    "matching regex '^[A-Za-z0-9_.-]": "has a name that is not 1 to 64 letters, digits, dots, dashes or underscores",
    "matching regex": "must not hold NUL characters",
}

_FIELD_WORDING = {"missing required": "is missing; add it", "contains unknown": "is not a known field; remove it"}


def decode_request(body: bytes) -> JobRequest:
    """Decode the body of a submission.

    Raises ProblemError: 400 for a body that is not well-formed JSON, 422 with the field for any other wrong body.
    """
    try:
        return _decode(body)
    except RecursionError:
        _refuse_json("it is nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _explain(body, error)


def invalid(field: str, what: str) -> ProblemError:
    """Return a 422 for the field. `what` continues the sentence that begins with the field's name."""
    # A name from the request may be long, or contain half a surrogate pair, which cannot be encoded.
    name = field[:_LONGEST_FIELD].encode(errors="replace").decode()
    return ProblemError(ApiError.INVALID_REQUEST, f"{name or 'The body'} {what}.", field=name)


def _explain(body: bytes, error: Exception) -> NoReturn:
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
    raise _translated(str(error))


def _translated(complaint: str) -> ProblemError:
    match = _COMPLAINT.fullmatch(complaint)
    assert match is not None
    path = (match["path"] or "").replace("[...]", "")
    what = match["what"]
    if named := _NAMED.fullmatch(what):
        field = _join(path, named["name"])
        return invalid(field, _FIELD_WORDING[named["what"]])
    plain = next((words for sign, words in _WORDING.items() if sign in what), None)
    return invalid(path, plain or f"is wrong: {what[:1].lower()}{what[1:]}")


def _lone_surrogates(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of strings and names that contain half a surrogate pair."""
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
