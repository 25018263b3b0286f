"""W3C Trace Context."""

import re

import pytest

from chassis.trace import trace_id, traceparent_from

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


def test_a_caller_s_trace_goes_on() -> None:
    """The logs have its trace id."""
    assert traceparent_from(VALID) == VALID
    assert trace_id(VALID) == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        VALID.upper(),
        VALID + "-more",
        VALID + "\n",
        VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        VALID.replace("00f067aa0ba902b7", "0" * 16),
        VALID.replace("00-4", "ff-4"),
    ],
)
def test_without_a_valid_one_a_new_trace_begins(header: str | None) -> None:
    """An invalid header is ignored completely."""
    fresh = traceparent_from(header)
    assert FORM.fullmatch(fresh)
    assert fresh != traceparent_from(header)
