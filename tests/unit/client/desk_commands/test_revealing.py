"""`darkroom dead-letters reveal`."""

import base64
import json
from typing import Any

import httpx2
import pytest

from darkroom_contracts.api.dead_letters import Revealed, RevealedAttempt
from tests.support.hostile import HOSTILE, assert_safe
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import LETTER_ID

REVEAL = ("dead-letters", "reveal", LETTER_ID, "--reason", "a customer asked")
MEBIBYTE = 1024 * 1024


def shown(desk: Desk, **parts: Any) -> str:
    result = desk.run(Script(reply(Revealed(id=LETTER_ID, **parts))), *REVEAL)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def answered(*responses: bytes | None) -> dict[str, Any]:
    return {"attempts": [RevealedAttempt(attempt=n, response=response) for n, response in enumerate(responses, 1)]}


def test_each_part_has_its_heading(desk: Desk) -> None:
    """The message as JSON, headers, the broker's record, the input as submitted, and what attempts left behind."""
    text = shown(
        desk,
        body=b"{}",
        body_bytes=2,
        text="{}",
        message={"prompt": "a lighthouse"},
        headers={"from": "a stranger"},
        x_death=[{"count": 1}],
        input={"prompt": "a lighthouse"},
        overrides={"steps": 4},
        metadata={"order": "7"},
        url="https://shop.example.com/hook",
        attempts=[RevealedAttempt(generation=1, attempt=2, cause="the cause", last_lines=["one", "two"])],
    )
    assert [line for line in text.splitlines() if line and not line.startswith(" ")] == [
        "message, decoded from 2 bytes",
        "headers",
        "x-death, by the broker",
        "input, as submitted",
        "edits of the input",
        "metadata",
        "webhook URL",
        "generation 1, attempt 2: cause",
        "generation 1, attempt 2: last lines of the render process",
    ]
    assert '    "prompt": "a lighthouse"\n' in text
    assert text.endswith("  one\n  two\n")


def test_the_reason_is_sent(desk: Desk) -> None:
    """It is in the audit log; without one nothing is requested."""
    script = Script(reply(Revealed(id=LETTER_ID)))
    assert desk.run(script, *REVEAL).stdout == "Nothing of this dead letter is hidden.\n"
    assert json.loads(script.requests[0].content) == {"reason": "a customer asked"}
    missing = desk.run(Script(), *REVEAL[:3])
    assert (missing.exit_code, "Missing option '--reason'" in missing.stderr) == (2, True)


def test_an_observer_is_refused_with_what_helps(desk: Desk) -> None:
    """The variable, and the command that shows keys."""
    refused = desk.run(Script(problem(403, "forbidden", "The key's scope is observer.")), *REVEAL)
    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: The key's scope is observer. DARKROOM_OPERATOR_KEY must be an operator's; an observer's only looks."
        " `darkroom keys list` shows them.\n"
    )


def test_bytes_that_are_not_text_are_dumped(desk: Desk) -> None:
    """In lines of 16, as hexadecimal and as ASCII, and no more than people read."""
    body = bytes(range(256)) * (MEBIBYTE // 256)
    lines = shown(desk, body=body, body_bytes=len(body)).splitlines()
    assert lines[0] == "message, 1,048,576 bytes that are not text"
    assert lines[1] == "  00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................"
    assert lines[5].endswith(" 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO")
    assert lines[-1] == "  (1,048,064 bytes more; --json prints all of it, as base64.)"
    assert max(map(len, lines)) < 80


def test_a_megabyte_of_text_is_shortened(desk: Desk) -> None:
    """People see its beginning, and programs all of it."""
    text = shown(desk, body=b"a" * MEBIBYTE, body_bytes=MEBIBYTE, text="a" * MEBIBYTE)
    assert len(text) < 17_000
    assert "(1,032,192 characters more; --json prints all of it.)" in text
    whole = Revealed(id=LETTER_ID, body=b"\x1b" * MEBIBYTE, body_bytes=MEBIBYTE, text="\x1b" * MEBIBYTE)
    printed = desk.run(Script(reply(whole)), *REVEAL, "--json").stdout
    assert base64.b64decode(json.loads(printed)["body"]) == b"\x1b" * MEBIBYTE
    assert "\x1b" not in printed


def test_hostile_parts_are_shown_safely(desk: Desk) -> None:
    """Each part, as text or as JSON; a part can't forge the heading of another."""
    forged = f"{HOSTILE}\n\nheaders\n  {{}}"
    text = shown(
        desk,
        body=b"x",
        body_bytes=1,
        text=forged,
        headers={forged: forged},
        x_death=[forged],
        input={"prompt": forged},
        overrides={"scheduler": forged},
        metadata={forged: forged},
        url=forged,
        attempts=[
            RevealedAttempt(attempt=1, cause=forged, last_lines=[forged], response=forged.encode() + b"\xff\x9b")
        ],
    )
    assert_safe(text)
    assert [line for line in text.splitlines() if line == "headers"] == ["headers"]
    assert "\\u202egnp.exe" in text
    assert "\\xff" in text
    assert "[bold red]markup[/bold red] :warning:" in text


def test_programs_get_hostile_parts_escaped(desk: Desk) -> None:
    """The same values, in JSON that a terminal shows as it is."""
    revealed = Revealed(id=LETTER_ID, text=HOSTILE, headers={HOSTILE: HOSTILE})
    printed = desk.run(Script(reply(revealed)), *REVEAL, "--json").stdout
    assert_safe(printed)
    assert json.loads(printed)["headers"] == {HOSTILE: HOSTILE}


def test_deep_nesting_is_an_error_in_a_sentence(desk: Desk) -> None:
    """Not a traceback."""
    deep = b'{"id":"%s","headers":%s%s}' % (str(LETTER_ID).encode(), b"[" * 100_000, b"]" * 100_000)
    result = desk.run(Script(httpx2.Response(200, content=deep)), *REVEAL)
    assert (result.exit_code, result.stderr.startswith("Error: Unexpected response (maximum recursion")) == (1, True)


def test_the_latest_answers_are_printed_within_a_bound(desk: Desk) -> None:
    """Of all attempts together at most 16 kB; the rest is counted."""
    text = shown(desk, **answered(b"a" * 9000, b"b" * 9000, b"c" * 9000))
    assert (text.count("aaa"), text.count("b" * 1000), text.count("c" * 1000)) == (0, 7, 9)
    assert "(1,616 bytes more; --json prints all of it, as base64.)" in text
    assert "answer to attempt 1\n  (9,000 bytes more; --json prints all of it, as base64.)" in text
    assert len(text) < 16_384 + 1000


def test_equal_answers_are_printed_once(desk: Desk) -> None:
    """Ten attempts of one receiver mostly have one answer."""
    text = shown(desk, **answered(b"broken", None, b"away", b"broken", b"broken", b"broken", None, b"away"))
    assert text == "answer to attempts 3, 8\n  away\n\nanswer to attempts 1, 4-6\n  broken\n"


@pytest.mark.parametrize("value", [None, {}, []])
def test_empty_parts_are_left_out(desk: Desk, value: object) -> None:
    """A heading without a part says nothing."""
    assert shown(desk, url="https://a.example", headers=value, metadata=value) == "webhook URL\n  https://a.example\n"
