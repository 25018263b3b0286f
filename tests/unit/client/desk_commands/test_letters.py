import json

from darkroom_contracts.api.dead_letters import DeadLetterList
from tests.unit.client.answers import JOB_ID, Script, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import GROUP_ID, LETTER_ID, letter


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
