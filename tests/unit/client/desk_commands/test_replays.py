import json
from typing import Any

import pytest

from darkroom.desk_commands.replay_views import TELLING
from darkroom_contracts.api.dead_letters import LetterScope
from darkroom_contracts.api.replays import BulkReplayList, InputEdit, ItemState, ReplayEdit
from tests.unit.client.answers import AT, JOB_ID, Script, problem, reply
from tests.unit.client.desk_answers import HOSTILE
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import LETTER_ID
from tests.unit.client.replay_answers import PATH, RAMP, REPLAY_ID, finished, item, items, replay


def test_a_list_has_a_line_for_each_replay(desk: Desk) -> None:
    """With how far it is, what failed, what it is for, and why it is paused."""
    paused = replay("paused", paused_reason="too hot", pace=5, pending=2, succeeded=37, failed=1, refused=2)
    script = Script(reply(BulkReplayList([paused, replay("planning")])))
    heading, first, reason, second = desk.run(script, "replays", "list").stdout.splitlines()
    assert heading.split()[:5] == ["id", "status", "ended", "failed", "left"]
    assert first.split()[:5] == [str(REPLAY_ID), "paused", "40/42", "3", "0"]
    assert first.endswith("model tiny; 5 a second")
    assert (reason, "planning" in second) == ("  too hot", True)


def test_a_list_is_of_one_status_and_no_longer_than_asked(desk: Desk) -> None:
    """Programs get a list."""
    script = Script(reply(BulkReplayList([replay()] * 3, "more")))
    listed = desk.run(script, "replays", "list", "--status", "planned", "--limit", 2, "--json")
    assert [each["id"] for each in json.loads(listed.stdout)] == [str(REPLAY_ID)] * 2
    assert script.requests[0].url.params["status"] == "planned"


def test_an_empty_list_says_so(desk: Desk) -> None:
    """With the status that was asked for."""
    empty = reply(BulkReplayList([]))
    assert desk.run(Script(empty), "replays", "list").stdout == "There are no replays.\n"
    listed = desk.run(Script(empty), "replays", "list", "--status", "paused")
    assert listed.stdout == "There are no replays that are paused.\n"


@pytest.mark.parametrize("status", ["planning", "planned", "running", "paused", "finished", "canceled"])
def test_a_replay_of_every_status_is_shown(desk: Desk, status: str) -> None:
    """With its fields; none of them without a value."""
    shown = replay(status, pending=0, created_by="oP3rat0r0001", reason="new driver", pace=5)
    result = desk.run(Script(reply(shown)), "replays", "show", REPLAY_ID)
    fields = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line)
    assert result.exit_code == 0
    assert fields["status"] == status
    assert fields["reason"] == "new driver"
    assert fields["planned"] == "at    2026-11-21 12:00:00Z"


def test_a_ramp_shows_its_stage(desk: Desk) -> None:
    """And since when, its limit, the edit, and the pause's reason."""
    edit = ReplayEdit(model="tiny-2", input=InputEdit(num_inference_steps=12))
    changes: dict[str, Any] = {
        "ramp": RAMP,
        "stage": 2,
        "stage_began_at": AT,
        "edit": edit,
        "paused_reason": "Stage 2 has a failure.",
    }
    shown = desk.run(Script(reply(replay("paused", pending=0, **changes))), "replays", "show", REPLAY_ID).stdout
    assert "stage 2 (2 at a time), since 2026-11-21 12:00:00Z" in shown
    assert "in stages of 1, 2, 5, 5, ..." in shown
    assert "900 s" in shown
    assert "model tiny-2, steps 12" in shown
    assert "paused: Stage 2 has a failure." in shown


def test_the_most_interesting_dead_letters_come_first(desk: Desk) -> None:
    """Failed, then refused when it came to them, then others, up to the limit; states without any are not requested."""
    failed = item("failed", 7, error="The scheduler failed.", generation=2)
    script = Script(
        reply(finished(failed=1, refused=1, left_out={"orphan": 1})),
        reply(items(failed)),
        reply(items(item("refused", 8, "orphan"), item("refused", 9, error="The dead letter was replayed already."))),
        reply(items(item("succeeded", 1))),
        reply(items(item("refused", 8, "orphan"))),
    )
    result = desk.run(script, "replays", "show", REPLAY_ID, "--limit", 3)
    lines = result.stdout.splitlines()[-3:]
    assert [line.split()[:3] for line in lines] == [
        ["7", str(LETTER_ID), "failed"],
        ["9", str(LETTER_ID), "refused"],
        ["1", str(LETTER_ID), "succeeded"],
    ]
    assert (str(JOB_ID) in lines[0], lines[0].endswith("The scheduler failed.")) == (True, True)
    assert [request.url.params.get("state") for request in script.requests] == [
        None,
        "failed",
        "refused",
        "succeeded",
        "refused",
    ]
    assert [request.url.params.get("limit") for request in script.requests[1:]] == ["3", "200", "1", "200"]


def test_dead_letters_of_one_state_are_shown(desk: Desk) -> None:
    """Programs get the replay and the dead letters; no more is requested."""
    script = Script(reply(finished(failed=1)), reply(items(item("failed"), next_after=1)))
    shown = desk.run(script, "replays", "show", REPLAY_ID, "--state", "failed", "--limit", 1, "--json")
    printed = json.loads(shown.stdout)
    assert (printed["replay"]["id"], printed["dead_letters"][0]["state"]) == (str(REPLAY_ID), "failed")
    assert len(script.requests) == 2


def test_examples_of_what_was_left_out_are_searched_within_a_bound(desk: Desk) -> None:
    """A verdict that the first thousand have not is shown without one."""
    many = [item("refused", position, "discarded", error=f"It was {position}.") for position in range(200)]
    shown = replay(pending=0, left_out={"discarded": 5000, "job moved on": 1})
    pages = [reply(items(*many, next_after=200 * page)) for page in range(1, 6)]
    script = Script(reply(shown), *pages)
    result = desk.run(script, "replays", "show", REPLAY_ID, "--limit", 0)
    assert (result.exit_code, len(script.requests)) == (0, 6)
    assert "It was 0." in result.stdout
    assert "It was 1." in result.stdout
    assert "It was 2." not in result.stdout
    assert ["1", "job", "moved", "on"] in [line.split() for line in result.stdout.splitlines()]


def test_named_dead_letters_that_are_not_in_the_plan_are_counted(desk: Desk) -> None:
    """A plan has a verdict on each that exists and matches, and says how many do not."""
    ids = [LETTER_ID, REPLAY_ID, JOB_ID]
    plan = replay(pending=2, scope=LetterScope(ids=ids))
    result = desk.run(Script(reply(plan, 202), reply(plan)), "dead-letters", "replay", *ids, "--dry-run")
    assert "1 of the 3 named do not exist, or do not match the filters.\n" in result.stdout


@pytest.mark.parametrize(
    ("act", "found", "sentence"),
    [
        ("pause", replay("paused", pending=40, replayed=2), "is paused: 0 of 42 ended, 2 under way."),
        ("resume", replay("running", pending=42), "is running: 0 of 42 ended, 0 under way."),
        ("cancel", replay("canceled", pending=42), "is canceled: 0 of 42 ended."),
    ],
)
def test_a_replay_is_steered(desk: Desk, act: str, found: object, sentence: str) -> None:
    """The answer says how it stands, and what can be done next."""
    script = Script(reply(found), reply(found))
    result = desk.run(script, "replays", act, REPLAY_ID, "--reason", "lunch")
    assert (result.exit_code, result.stdout.startswith(f"Replay {REPLAY_ID} {sentence}")) == (0, True)
    assert (script.requests[0].url.path, json.loads(script.requests[0].content)) == (
        f"{PATH}/{act}",
        {"reason": "lunch"},
    )
    assert json.loads(desk.run(script, "replays", act, REPLAY_ID, "--json").stdout)["id"] == str(REPLAY_ID)


def test_a_refused_act_is_explained(desk: Desk) -> None:
    """By the status that the replay has."""
    refused = problem(409, "conflict", "The replay is finished, so it can't be paused.")
    result = desk.run(Script(refused), "replays", "pause", REPLAY_ID)
    assert (result.exit_code, result.stderr) == (1, "Error: The replay is finished, so it can't be paused.\n")


def test_what_came_from_outside_obeys_no_terminal(desk: Desk) -> None:
    """Errors of jobs, verdicts, reasons and filters are printed without control characters."""
    hostile = item("failed", verdict=HOSTILE, error=f"It failed.\n{HOSTILE}")
    shown = replay(
        "paused",
        left_out={HOSTILE: 1},
        pending=0,
        failed=1,
        paused_reason=f"{HOSTILE}\nstatus  finished",
        reason=HOSTILE,
        created_by=HOSTILE,
        scope=LetterScope(text=HOSTILE),
        edit=ReplayEdit(model=HOSTILE),
    )
    page = reply(items(hostile))
    texts = [
        desk.run(Script(reply(shown), page, page, page), "replays", "show", REPLAY_ID).output,
        desk.run(Script(reply(BulkReplayList([shown]))), "replays", "list").output,
        desk.run(Script(reply(shown), page), "replays", "watch", REPLAY_ID).output,
        desk.run(Script(reply(shown), page, page, page), "replays", "show", REPLAY_ID, "--json").output,
    ]
    assert all(char.isprintable() or char == "\n" for text in texts for char in text)
    assert all("evil" in text for text in texts)
    assert not any(line.startswith("status  finished") for text in texts for line in text.splitlines())


def test_every_state_can_be_asked_for() -> None:
    """The order of interest names each."""
    assert set(TELLING) == set(ItemState)
