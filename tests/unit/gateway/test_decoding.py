"""Decoding a body into a request, or into a problem that names the field."""

import json
from typing import Any

import pytest

from chassis.problems import ProblemError
from darkroom_contracts.api import DEFAULT_TTL_SECONDS, JobRequest
from darkroom_contracts.webhooks import TERMINAL_EVENTS
from gateway.decoding import decode_request

PROMPT = {"prompt": "a lighthouse"}


def problem(body: bytes | object) -> ProblemError:
    """Return the problem of a body."""
    with pytest.raises(ProblemError) as caught:
        decode_request(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def field_of(body: bytes | object) -> str | None:
    """Return the field that the problem of a body names."""
    refused = problem(body)
    assert (refused.problem.status, refused.problem.code) == (422, "invalid_request")
    return refused.problem.field or None


def test_a_short_request_takes_the_defaults() -> None:
    """A prompt is enough."""
    request = decode_request(json.dumps({"input": PROMPT}).encode())
    assert isinstance(request, JobRequest)
    assert (request.model, request.ttl_seconds, request.webhook_events) == (None, DEFAULT_TTL_SECONDS, TERMINAL_EVENTS)


WRONG: dict[str, tuple[Any, str | None]] = {
    "no input": ({}, "input"),
    "no prompt": ({"input": {}}, "input.prompt"),
    "unknown": ({"input": PROMPT, "prio": 1}, "prio"),
    "unknown within": ({"input": {**PROMPT, "colour": 1}}, "input.colour"),
    "unknown with a backtick": ({"input": {**PROMPT, "a`b": 1}}, "input.a`b"),
    "a text for a number": ({"input": {**PROMPT, "width": "64"}}, "input.width"),
    "true for a number": ({"input": {**PROMPT, "width": True}}, "input.width"),
    "a float for an int": ({"input": {**PROMPT, "width": 512.0}}, "input.width"),
    "too large": ({"input": {**PROMPT, "seed": 2**32}}, "input.seed"),
    "far too large": ({"input": {**PROMPT, "seed": 10**40}}, "input.seed"),
    "absurdly large": (b'{"input": {"prompt": "x", "seed": ' + b"9" * 6000 + b"}}", "input.seed"),
    "no finite float": (b'{"input": {"prompt": "x", "guidance_scale": 1e999}}', "input.guidance_scale"),
    "negative": ({"input": {**PROMPT, "seed": -1}}, "input.seed"),
    "empty prompt": ({"input": {"prompt": ""}}, "input.prompt"),
    "long prompt": ({"input": {"prompt": "x" * 4001}}, "input.prompt"),
    "NUL in a prompt": ({"input": {"prompt": "a\0"}}, "input.prompt"),
    "NUL in metadata": ({"input": PROMPT, "metadata": {"a": "\0"}}, "metadata"),
    "NUL in a name": ({"input": PROMPT, "metadata": {"\0": "a"}}, "metadata"),
    "a number in metadata": ({"input": PROMPT, "metadata": {"a": 1}}, "metadata"),
    "much metadata": ({"input": PROMPT, "metadata": {str(n): "" for n in range(17)}}, "metadata"),
    "unknown format": ({"input": {**PROMPT, "output_format": "gif"}}, "input.output_format"),
    "unknown event": ({"input": PROMPT, "webhook_events": ["job.failed", "job.lost"]}, "webhook_events[1]"),
    "no event": ({"input": PROMPT, "webhook_events": []}, "webhook_events"),
    "no URL": ({"input": PROMPT, "webhook_url": "ftp://example.com"}, "webhook_url"),
    "a URL with a password": ({"input": PROMPT, "webhook_url": "https://a:b@example.com"}, "webhook_url"),
    "no object": ([1], None),
    "null": (None, None),
    "surrogate in a prompt": (b'{"input": {"prompt": "\\ud800"}}', "input.prompt"),
    "surrogate in a list": (b'{"input": {"prompt": "x"}, "webhook_events": ["\\udfff"]}', "webhook_events[0]"),
    "surrogate in metadata": (b'{"input": {"prompt": "x"}, "metadata": {"a": "x\\ud800y"}}', "metadata.a"),
    "surrogate in a name": (b'{"input": {"prompt": "x"}, "metadata": {"\\ud800": "a"}}', "metadata.?"),
    "surrogate in an unknown field": (b'{"input": {"prompt": "x"}, "z": "\\ud800"}', "z"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_field_is_named(case: str) -> None:
    """JSON that is not a submission is a 422."""
    body, field = WRONG[case]
    assert field_of(body) == field


NO_JSON = {
    "nothing": b"",
    "cut off": b'{"input": {"prompt": "x"',
    "trailing": b'{"input": {"prompt": "x"}} x',
    "NaN": b'{"input": {"prompt": "x", "guidance_scale": NaN}}',
    "Infinity": b'{"input": {"prompt": "x", "width": "y"}, "metadata": {"a": Infinity}}',
    "no UTF-8": b'{"input": {"prompt": "\xff"}}',
    "UTF-16": '{"input": {"prompt": "x"}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"input": {"prompt": "x"}}',
    "broken after a wrong type": b'{"input": {"prompt": 1',
    "broken after an unknown field": b'{"colour": "red", "input": ',
    "broken beside a lone surrogate": b'{"input": {"prompt": "\\ud800"',
    "deep array": b"[" * 30_000 + b"]" * 30_000,
    "deep object": b'{"input":' * 5_000 + b"1" + b"}" * 5_000,
    "deep in an unknown field": b'{"input": {"prompt": "x"}, "z": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


@pytest.mark.parametrize("case", NO_JSON)
def test_what_is_no_json_is_told_apart(case: str) -> None:
    """Malformed JSON is a 400, even if a field before the error is wrong too."""
    refused = problem(NO_JSON[case])
    assert (refused.problem.status, refused.problem.code) == (400, "invalid_json")


def test_a_float_for_an_int_is_explained() -> None:
    """512.0 looks like a whole number to people."""
    assert "without a decimal point" in str(problem({"input": {**PROMPT, "width": 512.0}}))


@pytest.mark.parametrize("name", ["x" * 10_000, "🌈" * 1_000, "a\nb"])
def test_a_strange_name_comes_back_bounded(name: str) -> None:
    """The name of a field is the client's text: it is shortened and can always be encoded."""
    field = field_of({"input": PROMPT, name: 1})
    assert field is not None
    assert name.startswith(field)
    assert len(field) <= 200
