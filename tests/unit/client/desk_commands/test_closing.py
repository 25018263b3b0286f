"""`darkroom dead-letters discard | restore`."""

import json
from typing import Any

import httpx2
import pytest

from darkroom_contracts.api.dead_letters import BulkDiscardReply
from darkroom_contracts.states import LetterStatus
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import GROUP_ID, LETTER_ID, letter

DISCARD = ("dead-letters", "discard", "--reason", "a typo")
OTHER_ID = GROUP_ID


def counted(count: int, left_out: int = 0) -> httpx2.Response:
    return reply(BulkDiscardReply(count=count, discarded=0, remaining=count, left_out=left_out))


def discarded(number: int, remaining: int = 0) -> httpx2.Response:
    return reply(BulkDiscardReply(count=number + remaining, discarded=number, remaining=remaining, left_out=0))


def bodies(script: Script) -> list[dict[str, Any]]:
    return [json.loads(request.content) for request in script.requests]


def test_one_is_discarded_at_once(desk: Desk) -> None:
    """It can be restored, so nobody is asked."""
    script = Script(reply(letter(status=LetterStatus.DISCARDED)))
    result = desk.run(script, *DISCARD, LETTER_ID)
    assert result.stdout == (
        f"Dead letter {LETTER_ID} is discarded; `darkroom dead-letters restore {LETTER_ID}` opens it again.\n"
    )
    assert script.requests[0].url.path.endswith(f"/{LETTER_ID}/discard")
    assert bodies(script) == [{"reason": "a typo"}]


def test_many_are_discarded_once_their_number_is_typed(desk: Desk) -> None:
    """What will happen is said first; then exactly that many are discarded, in the steps that the API allows."""
    script = Script(counted(12_000, left_out=3), discarded(10_000, 2_000), discarded(2_000))
    result = desk.run(script, *DISCARD, "--group", GROUP_ID, "--code", "out_of_memory", answer="12000")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "12,000 dead letters will be discarded. 3 more match and are left out: orphans, which --kind orphan names, and"
        " those that came back twice before, which their IDs name.\nType 12000 to confirm: "
    )
    assert result.stderr.endswith("10,000 are discarded, 2,000 are left.\n")
    assert result.stdout.startswith("12,000 dead letters are discarded; ")
    dry, first, second = bodies(script)
    assert (dry["dry_run"], dry["count"]) == (True, None)
    assert dry["scope"]["group"] == str(GROUP_ID)
    assert dry["scope"]["reason"] == "out_of_memory"
    assert [(body["count"], body["dry_run"], body["reason"]) for body in (first, second)] == [
        (12_000, False, "a typo"),
        (2_000, False, "a typo"),
    ]


@pytest.mark.parametrize("answer", ["", "2", "y"])
def test_another_answer_discards_nothing(desk: Desk, answer: str) -> None:
    """Only the dry run was requested, and the exit code is 1."""
    script = Script(counted(3))
    result = desk.run(script, *DISCARD, "--kind", "job", answer=answer)
    assert (result.exit_code, result.stdout, len(script.requests)) == (1, "", 1)
    assert result.stderr.endswith("Error: Nothing was done: the answer was not 3.\n")


def test_without_a_terminal_yes_is_needed(desk: Desk) -> None:
    """Nothing is requested before."""
    script = Script()
    result = desk.run(script, *DISCARD, "--kind", "job")
    assert (result.exit_code, "give --yes" in result.stderr, script.requests) == (1, True, [])


def test_programs_get_the_result_alone(desk: Desk) -> None:
    """What will happen is on stderr, the result is JSON."""
    script = Script(counted(2), discarded(2))
    result = desk.run(script, *DISCARD, LETTER_ID, OTHER_ID, LETTER_ID, "--yes", "--json")
    assert json.loads(result.stdout) == {"count": 2, "discarded": 2, "remaining": 0, "left_out": 0}
    assert result.stderr == "2 dead letters will be discarded.\n"
    assert bodies(script)[0]["scope"]["ids"] == [str(LETTER_ID), str(OTHER_ID)]


def test_named_letters_that_are_not_open_are_counted(desk: Desk) -> None:
    """So nobody believes that all of them are discarded."""
    result = desk.run(Script(counted(1), discarded(1)), *DISCARD, LETTER_ID, OTHER_ID, "--yes")
    assert result.stderr == ("1 dead letter will be discarded. 1 of those named is not open, or not matched.\n")
    assert result.stdout.startswith("1 dead letter is discarded; ")


def test_nothing_to_discard_is_no_failure(desk: Desk) -> None:
    """What is left out is said."""
    result = desk.run(Script(counted(0, left_out=1)), *DISCARD, "--kind", "job", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "There is nothing to discard: no open dead letter matches. 1 more matches and is left out: orphans"
    )


@pytest.mark.parametrize("options", [(), ("--kind", "any")])
def test_a_scope_must_be_named(desk: Desk, options: tuple[str, ...]) -> None:
    """Nothing is discarded by a slip."""
    result = desk.run(Script(), *DISCARD, *options, "--yes")
    assert (result.exit_code, "Name the dead letters" in result.stderr) == (1, True)


def test_a_reason_is_required(desk: Desk) -> None:
    """The audit log has it."""
    assert "Missing option '--reason'" in desk.run(Script(), "dead-letters", "discard", LETTER_ID).stderr


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            problem(409, "count_differs", "The scope has 2001."),
            "10,000 dead letters are discarded so far. The number has changed since it was confirmed; run the command"
            " again to see the rest.",
        ),
        (
            httpx2.ReadError("reset"),
            "10,000 dead letters are discarded so far. The response of http://edge was lost: reset. The request may"
            " have been carried out; look before repeating.",
        ),
    ],
)
def test_an_interrupted_discard_says_how_far_it_came(
    desk: Desk, end: httpx2.Response | BaseException, sentence: str
) -> None:
    """A lost response is not repeated, since it could be about other letters the second time."""
    script = Script(counted(12_000), discarded(10_000, 2_000), end)
    result = desk.run(script, *DISCARD, "--kind", "job", "--yes")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, f"Error: {sentence}")


def test_a_changed_number_discards_nothing(desk: Desk) -> None:
    """It was confirmed by its old one."""
    script = Script(counted(3), problem(409, "count_differs", "The scope has 4."))
    result = desk.run(script, *DISCARD, "--kind", "job", "--yes")
    assert result.stderr.endswith(
        "Error: The number has changed since it was confirmed; run the command again to see the rest.\n"
    )


def test_each_is_restored(desk: Desk) -> None:
    """A refused one does not stop the others, and is named at the end."""
    script = Script(problem(409, "conflict", "The dead letter is open."), reply(letter()))
    result = desk.run(script, "dead-letters", "restore", OTHER_ID, LETTER_ID)
    assert (result.exit_code, f"Dead letter {LETTER_ID} is open again" in result.stdout) == (1, True)
    assert result.stderr == f"Error: Dead letter {OTHER_ID} is not restored: The dead letter is open.\n"
    assert bodies(script) == [{"reason": "Restored from the command line."}] * 2


def test_programs_get_what_was_restored(desk: Desk) -> None:
    """A list; the reason can be given."""
    script = Script(reply(letter()))
    result = desk.run(script, "dead-letters", "restore", LETTER_ID, "--reason", "fixed", "--json")
    assert [each["id"] for each in json.loads(result.stdout)] == [str(LETTER_ID)]
    assert bodies(script) == [{"reason": "fixed"}]
