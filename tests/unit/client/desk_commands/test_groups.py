"""`darkroom dead-letters groups | note`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from darkroom.desk_commands.group_views import print_group, print_groups
from darkroom_contracts.api.dead_letter_groups import (
    DeadLetterGroupList,
    DeadLetterGroupQuery,
    GroupNote,
    Suspect,
    SuspectKind,
)
from darkroom_contracts.states import LetterKind
from tests.support.hostile import HOSTILE, assert_safe
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import AT, GROUP_ID, MESSAGE, group, group_detail

NOTE = GroupNote("the new driver", "key-1", AT, AT + timedelta(hours=2))
WRITTEN = "key-1, 2026-11-21 12:00:00Z, known until 2026-11-21 14:00:00Z"


def suspect(**changes: Any) -> Suspect:
    values: dict[str, Any] = {
        "kind": SuspectKind.GPU,
        "value": "GPU-7",
        "letters": 3,
        "share": 1.0,
        "attempts": 8,
        "usual_share": 0.08,
        "first_seen_at": AT,
        "last_seen_at": AT,
    }
    return Suspect(**values | changes)


def bodies(script: Script) -> list[dict[str, Any]]:
    return [json.loads(request.content) for request in script.requests if request.content]


def test_a_list_has_the_last_day_of_each_group(desk: Desk) -> None:
    """How many are open, a bar for each hour, the failure, and what is known of it."""
    script = Script(reply(DeadLetterGroupList([group(note=NOTE), group(message=None, hours=[0] * 24)], AT)))
    heading, first, note, second = desk.run(script, "dead-letters", "groups").stdout.splitlines()
    assert heading.split("  ")[0] == "group"
    cells = [cell.strip() for cell in first.split("  ") if cell]
    assert cells == [
        *(str(GROUP_ID), "3", "1,200", f"{'·' * 22}▄█", "2026-11-21 12:00:00Z", "job", "tiny"),
        f"out_of_memory: {MESSAGE}",
    ]
    assert note == f"  note: the new driver ({WRITTEN})"
    assert second.endswith("  out_of_memory")


def test_a_list_fits_a_narrow_terminal(at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    """A group is two lines of 80 columns, however many it has."""
    at_terminal(80)
    many = group(open=1_234_567, last_seen_at=datetime.now(UTC) - timedelta(minutes=59))
    print_groups([many], DeadLetterGroupQuery(), more=False)
    _, line, failure = click.unstyle(capsys.readouterr().out).splitlines()
    assert (len(line) <= 80, "  1.2M  " in line, "59 min" in line, "…" in line) == (True, True, True, False)
    assert failure == f"  tiny: out_of_memory: {MESSAGE}"


def test_every_filter_reaches_the_request(desk: Desk) -> None:
    """Groups with open letters are shown unless others are asked for."""
    script = Script(reply(DeadLetterGroupList([], AT)), reply(DeadLetterGroupList([], AT)))
    options = ("--kind", "job", "--model", "tiny", "--text", "CUDA #", "--limit", 7)
    result = desk.run(script, "dead-letters", "groups", *options)
    assert result.stdout == (
        "There are no groups of kind job with open dead letters that match; --status any shows all.\n"
    )
    assert desk.run(script, "dead-letters", "groups", "--status", "any").stdout == "There are no groups.\n"
    first, second = (dict(request.url.params) for request in script.requests)
    assert first == {"kind": "job", "model": "tiny", "status": "open", "text": "CUDA #", "limit": "8"}
    assert second == {"limit": "51"}


def test_pages_are_requested_until_the_limit(desk: Desk) -> None:
    """And people get a line that more match."""
    pages = [reply(DeadLetterGroupList([group()] * length, AT, "next")) for length in (100, 0, 51)]
    result = desk.run(Script(*pages), "dead-letters", "groups", "--limit", 150)
    assert len(result.stdout.splitlines()) == 151
    assert result.stderr == "These are 150 groups; --limit shows more, filters show fewer.\n"


def test_a_group_names_its_prime_suspect(desk: Desk) -> None:
    """In a sentence, with its usual share; then all suspects, and what can be done."""
    found = group_detail(suspect(), suspect(kind=SuspectKind.SIZE, value="64x64", letters=1, share=1 / 3), note=NOTE)
    result = desk.run(Script(reply(found)), "dead-letters", "groups", GROUP_ID)
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        MESSAGE,
        "Prime suspect: GPU GPU-7 has all 3 failures, and 8% of the attempts of the same hours; since 2026-11-21"
        " 12:00:00Z.",
    ]
    assert "24 hours     ······················▄█ up to 2 an hour" in lines
    assert [line.split() for line in lines[-3:-1]] == [
        ["GPU", "GPU-7", "3", "of", "3", "(100%)", "8%", "2026-11-21", "12:00:00Z", "2026-11-21", "12:00:00Z"],
        ["size", "64x64", "1", "of", "3", "(33%)", "8%", "2026-11-21", "12:00:00Z", "2026-11-21", "12:00:00Z"],
    ]
    assert lines[-1] == "3 dead letters were compared with 100 attempts of the same hours."
    hints = [line.partition("dead-letters ")[2].split()[0] for line in result.stderr.splitlines() if line]
    assert hints == ["list", "replay", "discard", "note"]


@pytest.mark.parametrize(
    "suspects",
    [
        (),
        (suspect(usual_share=None),),
        (suspect(usual_share=0.7),),
        (suspect(letters=1, share=0.34, usual_share=0.01),),
    ],
)
def test_nobody_is_accused_without_a_reason(desk: Desk, suspects: tuple[Suspect, ...]) -> None:
    """What is as common among all attempts, or rare among the failures, is not named."""
    result = desk.run(Script(reply(group_detail(*suspects))), "dead-letters", "groups", GROUP_ID)
    assert "Prime suspect" not in result.stdout


def test_a_closed_group_offers_no_act(desk: Desk) -> None:
    """There is nothing to replay or to discard."""
    result = desk.run(Script(reply(group_detail(open=0))), "dead-letters", "groups", GROUP_ID)
    assert ("replay" in result.stderr, "discard" in result.stderr) == (False, False)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (LetterKind.ORPHAN, {"replay": "--kind orphan --ramp 1,2,5", "discard": "--kind orphan --reason TEXT"}),
        (LetterKind.UNDECODABLE, {"discard": "--reason TEXT"}),
    ],
)
def test_only_acts_that_can_succeed_are_offered(desk: Desk, kind: LetterKind, options: dict[str, str]) -> None:
    """Bulk acts leave orphans out unless their kind is named, and what can't be decoded can't be replayed."""
    result = desk.run(Script(reply(group_detail(kind=kind))), "dead-letters", "groups", GROUP_ID)
    for command in ("replay", "discard"):
        offered = [line for line in result.stderr.splitlines() if f"dead-letters {command} " in line]
        assert [line.partition(f"{GROUP_ID} ")[2] for line in offered] == [
            text for name, text in options.items() if name == command
        ]


def test_a_note_is_written_kept_and_removed(desk: Desk) -> None:
    """With a text it is written; with a time alone the text stays."""
    noted, plain = group(note=NOTE), group()
    script = Script(reply(noted), reply(group_detail(note=NOTE)), reply(noted), reply(plain))
    written = desk.run(script, "dead-letters", "note", GROUP_ID, "the new driver", "--known-until", "2027-01-01T00:00Z")
    assert written.stdout == f"the new driver\n({WRITTEN})\n"
    desk.run(script, "dead-letters", "note", GROUP_ID, "--known-until", "2028-01-01T00:00Z")
    removed = desk.run(script, "dead-letters", "note", GROUP_ID, "--remove")
    assert removed.stdout == f"Group {GROUP_ID} has no note.\n"
    assert bodies(script) == [
        {"text": "the new driver", "known_until": "2027-01-01T00:00:00Z"},
        {"text": "the new driver", "known_until": "2028-01-01T00:00:00Z"},
        {"text": None, "known_until": None},
    ]


def test_a_note_is_shown(desk: Desk) -> None:
    """Without a text nothing is written."""
    script = Script(reply(group_detail(note=NOTE)), reply(group_detail(note=NOTE)))
    assert desk.run(script, "dead-letters", "note", GROUP_ID).stdout == f"the new driver\n({WRITTEN})\n"
    assert json.loads(desk.run(script, "dead-letters", "note", GROUP_ID, "--json").stdout)["text"] == "the new driver"
    assert [request.method for request in script.requests] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a text", "--remove"), "--remove takes neither TEXT nor --known-until"),
        (("--known-until", "2h"), "The group has no note yet; give a TEXT too."),
        (("a text", "--known-until", "2020-01-01"), "2020-01-01 lies in the past; give a time to come."),
    ],
)
def test_a_note_that_makes_no_sense_is_refused(desk: Desk, arguments: tuple[str, ...], sentence: str) -> None:
    """The error says what to give."""
    result = desk.run(Script(reply(group_detail())), "dead-letters", "note", GROUP_ID, *arguments)
    assert (result.exit_code != 0, sentence in result.stderr) == (True, True)


def test_an_unknown_group_names_the_list(desk: Desk) -> None:
    """In one sentence."""
    unknown = Script(problem(404, "not_found", "There is no such group."))
    result = desk.run(unknown, "dead-letters", "groups", GROUP_ID)
    assert result.stderr == (
        "Error: There is no such group. `darkroom dead-letters groups --status any` shows their ids.\n"
    )


@pytest.mark.parametrize("columns", [20, 80, 160])
def test_hostile_groups_are_shown_safely(
    at_terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """Models and messages of undecodable messages and orphans come from outside, and so do versions of libraries."""
    at_terminal(columns)
    forged = f"{HOSTILE}\n00000000-0000-0000-0000-000000000000  1,000"
    fields: dict[str, Any] = {"model": forged, "reason": forged, "stage": forged, "message": forged}
    note = GroupNote(forged, forged, AT)
    print_groups([group(**fields, note=note)], DeadLetterGroupQuery(), more=False)
    bad = suspect(kind=SuspectKind.VERSIONS, value=forged)
    print_group(group_detail(bad, **fields, note=note))
    printed = capsys.readouterr()
    assert_safe(printed.out + printed.err)
    assert not [line for line in click.unstyle(printed.out).splitlines() if line.startswith("00000000")]
