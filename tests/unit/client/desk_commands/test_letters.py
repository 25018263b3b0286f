import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from darkroom.desk_commands.letter_views import print_letters
from darkroom_contracts.api import JobError
from darkroom_contracts.api.dead_letters import DeadLetter, DeadLetterExportQuery, DeadLetterList
from darkroom_contracts.states import LetterKind
from tests.support.hostile import HOSTILE, assert_safe
from tests.unit.client.answers import JOB_ID, Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import GROUP_ID, LETTER_ID, letter

Terminal = Callable[[int], None]
OPEN = DeadLetterExportQuery()


def test_a_list_has_a_line_for_each_letter(desk: Desk) -> None:
    """In a pipe a line has everything, the message at its end."""
    script = Script(reply(DeadLetterList([letter("It failed."), letter("It failed\nagain.")])))
    heading, first, second = desk.run(script, "dead-letters", "list").stdout.splitlines()
    assert heading.split() == ["id", "kind", "reason", "model", "worker", "tenant", "recorded", "message"]
    assert first.startswith(f"{LETTER_ID}  job   out_of_memory  tiny   gpu-1   shop    2026-11-21 12:00:00Z")
    assert (first[-12:], second[-18:]) == ("  It failed.", "  It failed again.")


def test_every_filter_reaches_the_request(desk: Desk) -> None:
    """Each option is a parameter of the query, and the status is `open` unless another is asked for."""
    script = Script(reply(DeadLetterList([])))
    filters = {
        "kind": "webhook",
        "model": "tiny",
        "tenant": "shop",
        "reason": "out_of_memory",
        "fingerprint": "0f3a",
        "group": GROUP_ID,
        "worker": "gpu-1",
        "job": JOB_ID,
        "text": "CUDA #",
    }
    times = ("--since", "2026-11-21T12:00Z", "--until", "2026-11-22T12:00Z")
    options = [part for name, value in filters.items() for part in (f"--{name}", value)]
    result = desk.run(script, "dead-letters", "list", *options, *times, "--limit", 7)
    assert result.stdout == "There are no dead letters of kind webhook that are open and match.\n"
    assert dict(script.requests[0].url.params) == {name: str(value) for name, value in filters.items()} | {
        "status": "open",
        "created_after": "2026-11-21T12:00:00Z",
        "created_before": "2026-11-22T12:00:00Z",
        "limit": "8",
    }
    assert script.requests[0].headers["Authorization"].startswith("Bearer dk_")


def test_pages_are_requested_until_the_limit_and_no_further(desk: Desk) -> None:
    """A short page is not the end; programs get a list, and people a line that more match."""
    pages = [reply(DeadLetterList([letter()] * length, "next")) for length in (200, 0, 100)]
    listed = desk.run(Script(*pages), "dead-letters", "list", "--limit", 250, "--json")
    assert [each["id"] for each in json.loads(listed.stdout)] == [str(LETTER_ID)] * 250
    more = desk.run(Script(reply(DeadLetterList([letter()] * 2, "next"))), "dead-letters", "list", "--limit", 1)
    assert more.stderr == "These are the newest 1; --limit shows more, filters show fewer.\n"
    assert len(more.stdout.splitlines()) == 2


def printed(letters: list[DeadLetter], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_letters(letters, OPEN, more=False)
    return click.unstyle(capsys.readouterr().out).splitlines()


def test_a_narrow_terminal_has_two_lines_for_each(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """The widest kind and reason fit into 80 columns beside the id."""
    at_terminal(80)
    recorded = datetime.now(UTC) - timedelta(minutes=59)
    widest = letter("x" * 200, kind=LetterKind.UNDECODABLE, reason="render_process_lost", created_at=recorded)
    _, line, message = printed([widest], capsys)
    assert line == f"{LETTER_ID}  undecodable  render_process_lost  59 min"
    assert (len(line) <= 80, len(message), message[:36]) == (True, 80, "  tiny on gpu-1, tenant shop: xxxxxx")


def test_a_wide_terminal_has_one_line_for_each(at_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """With a column for each place, and as much of the message as fits."""
    at_terminal(160)
    heading, line = printed([letter("x" * 200)], capsys)
    assert heading.split() == ["id", "kind", "reason", "model", "worker", "tenant", "recorded", "message"]
    assert (len(line), line[-1]) == (160, "…")


@pytest.mark.parametrize("columns", [None, 20, 80, 160])
def test_hostile_letters_are_listed_safely(
    at_terminal: Terminal, capsys: pytest.CaptureFixture[str], columns: int | None
) -> None:
    """Undecodable messages, orphans with forged models, and tenants' names; none of them forges a line."""
    if columns:
        at_terminal(columns)
    forged = f"{HOSTILE}\n{LETTER_ID}  job  forged"
    error = JobError("undecodable", forged, retryable=False)
    fields: dict[str, Any] = {"model": forged, "worker": forged, "tenant": forged, "reason": forged, "error": error}
    print_letters([letter(**fields), letter(**fields)], DeadLetterExportQuery(status="any"), more=True)
    output = capsys.readouterr()
    assert_safe(output.out + output.err)
    lines = click.unstyle(output.out).splitlines()
    assert len([line for line in lines if line.startswith(str(LETTER_ID)[:15])]) == 2


def test_a_refusal_is_printed_safely(desk: Desk) -> None:
    """Whatever of the request or of a letter it repeats."""
    script = Script(problem(422, "invalid_request", f"text: {HOSTILE}"))
    result = desk.run(script, "dead-letters", "list", "--text", "x")
    assert result.exit_code == 1
    assert_safe(result.stderr)


@pytest.mark.parametrize("name", ["DARKROOM_URL", "DARKROOM_OPERATOR_KEY"])
def test_settings_that_are_missing_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With how to set them."""
    monkeypatch.delenv(name)
    result = desk.run(Script(), "dead-letters", "list")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: Set DARKROOM_URL and DARKROOM_OPERATOR_KEY. For a stack that `make up` started, run"
        " `. .darkroom/env`.\n",
    )


def test_a_key_that_is_refused_names_the_command_that_makes_one(desk: Desk) -> None:
    """In one sentence."""
    result = desk.run(Script(problem(401, "unauthenticated", "The key is not valid.")), "dead-letters", "list")
    assert result.stderr == (
        "Error: The key is not valid. Set DARKROOM_OPERATOR_KEY to a key of `darkroom keys create --scope operator`.\n"
    )
