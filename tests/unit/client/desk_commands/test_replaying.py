import json

import httpx2
import pytest

from darkroom_contracts.api.replays import ReplayReply
from tests.unit.client.answers import JOB_ID, Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.letter_answers import GROUP_ID, LETTER_ID
from tests.unit.client.replay_answers import REPLAY_ID, finished, item, items, replay
from tests.unit.client.webhook_answers import DELIVERY_ID

EDITS = {
    "--to-model": ("model", "tiny-2"),
    "--steps": ("num_inference_steps", 12),
    "--width": ("width", 64),
    "--height": ("height", 128),
    "--guidance-scale": ("guidance_scale", 3.5),
    "--scheduler": ("scheduler", "euler"),
    "--seed": ("seed", 0),
    "--images": ("num_images", 2),
}
LOST = httpx2.ReadError("connection reset")


def sent(script: Script) -> list[str]:
    return [f"{request.method} {request.url.path.removeprefix('/v1/operations/')}" for request in script.requests]


def one(**changes: object) -> ReplayReply:
    return ReplayReply(**{"dead_letter_id": LETTER_ID, "job_id": JOB_ID, "generation": 2} | changes)  # type: ignore[arg-type]


def test_one_letter_is_replayed_at_once(desk: Desk) -> None:
    """Without a plan and without a question; its job and generation are printed."""
    script = Script(reply(one(), 202))
    result = desk.run(script, "dead-letters", "replay", LETTER_ID, "--reason", "new driver")
    assert (result.exit_code, result.stdout) == (0, f"Job {JOB_ID} is queued again, as generation 2.\n")
    assert sent(script) == [f"POST dead-letters/{LETTER_ID}/replay"]
    assert json.loads(script.requests[0].content) == {"edit": None, "reason": "new driver"}


@pytest.mark.parametrize(("paused", "end"), [(False, "."), (True, ", and waits until its endpoint is resumed.")])
def test_a_webhook_is_sent_again(desk: Desk, paused: bool, end: str) -> None:
    """The delivery is named, and why it waits if it does."""
    sent_again = one(job_id=None, generation=None, delivery_id=DELIVERY_ID, endpoint_paused=paused)
    result = desk.run(Script(reply(sent_again, 202)), "dead-letters", "replay", LETTER_ID)
    assert result.stdout == f"Delivery {DELIVERY_ID} is due again{end}\n"


def test_every_edit_reaches_the_request(desk: Desk) -> None:
    """Each option is a field of the edit; zero counts as given."""
    script = Script(reply(one(), 202))
    options = [part for option, (_, value) in EDITS.items() for part in (option, value)]
    printed = desk.run(script, "dead-letters", "replay", LETTER_ID, *options, "--json").stdout
    assert json.loads(printed)["generation"] == 2
    edit = json.loads(script.requests[0].content)["edit"]
    assert {"model": edit["model"], **edit["input"]} == dict(EDITS.values())


def test_a_second_replay_is_explained(desk: Desk) -> None:
    """The refusal says what came first."""
    detail = f"The dead letter was replayed already: job {JOB_ID} is queued in generation 2."
    result = desk.run(Script(problem(409, "conflict", detail)), "dead-letters", "replay", LETTER_ID)
    assert (result.exit_code, result.stderr) == (1, f"Error: {detail}\n")


def test_a_lost_response_is_not_sent_again(desk: Desk) -> None:
    """The error names the command that shows whether the letter was replayed."""
    script = Script(LOST)
    result = desk.run(script, "dead-letters", "replay", LETTER_ID)
    assert (result.exit_code, len(script.requests)) == (1, 1)
    assert f"`darkroom dead-letters show {LETTER_ID}` shows whether it was replayed." in result.stderr


def test_a_group_is_planned_confirmed_started_and_followed(desk: Desk) -> None:
    """The plan shows counts and examples of what is left out; the typed count starts it; it is followed to its end."""
    refused = item("refused", verdict="discarded", error="The dead letter is closed: it was discarded.")
    left_out = {"discarded": 3}
    script = Script(
        reply(replay("planning", pending=7), 202),
        reply(replay("planning", pending=7)),
        reply(replay(left_out=left_out)),
        reply(items(refused, item("refused", verdict="job moved on"))),
        reply(replay("running", left_out=left_out)),
        reply(replay("running", left_out=left_out, pending=20, replayed=2, succeeded=20)),
        reply(finished(left_out=left_out)),
    )
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, "--steps", 12, "--pace", 5, answer="42")
    assert result.exit_code == 0, result.output
    assert sent(script) == [
        "POST replays",
        *[f"GET replays/{REPLAY_ID}"] * 2,
        f"GET replays/{REPLAY_ID}/items",
        f"POST replays/{REPLAY_ID}/start",
        *[f"GET replays/{REPLAY_ID}"] * 2,
    ]
    asked = json.loads(script.requests[0].content)
    assert (asked["scope"]["group"], asked["edit"], asked["pace"]) == (
        str(GROUP_ID),
        {"input": {"num_inference_steps": 12}},
        5,
    )
    assert json.loads(script.requests[4].content) == {"count": 42}
    assert ["42", "will", "replay"] in [line.split() for line in result.stdout.splitlines()]
    assert f"  {LETTER_ID}: The dead letter is closed: it was discarded.\n" in result.stdout
    assert "job moved on" not in result.stdout
    assert f"Replay {REPLAY_ID} is finished; all 42 succeeded.\n" in result.stdout
    assert "42 dead letters will be replayed; 3 will be left out." in result.stderr
    assert "running: 20 of 42 ended, 2 under way" in result.stderr


@pytest.mark.parametrize("answer", ["41", "", "yes"])
def test_a_wrong_count_starts_nothing(desk: Desk, answer: str) -> None:
    """The plan is kept, and the error names the command that starts it."""
    script = Script(reply(replay("planning"), 202), reply(replay()))
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, answer=answer)
    assert (result.exit_code, len(script.requests)) == (1, 2)
    assert f"Nothing was done: the answer was not 42. The plan is kept: `darkroom replays start {REPLAY_ID}`" in (
        result.stderr
    )


def test_without_a_terminal_nothing_is_planned(desk: Desk) -> None:
    """The error says to give --yes, before the first request."""
    script = Script()
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID)
    assert (result.exit_code, script.requests, "give --yes" in result.stderr) == (1, [], True)


def test_a_confirmed_replay_is_started_and_left_alone(desk: Desk) -> None:
    """`--yes` and `--detach` with `--json`: the started replay is all that stdout has."""
    script = Script(reply(replay("planning"), 202), reply(replay()), reply(replay("running")))
    result = desk.run(script, "dead-letters", "replay", LETTER_ID, JOB_ID, "--yes", "--detach", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "running")
    assert json.loads(script.requests[0].content)["scope"]["ids"] == [str(LETTER_ID), str(JOB_ID)]
    assert "42 dead letters will be replayed." in result.stderr


def test_a_dry_run_starts_nothing(desk: Desk) -> None:
    """It needs no confirmation, and one letter is planned too; programs get the plan."""
    script = Script(reply(replay("planning"), 202), reply(replay()))
    result = desk.run(script, "dead-letters", "replay", LETTER_ID, "--dry-run", "--json")
    assert (result.exit_code, json.loads(result.stdout)["verdicts"]) == (0, {"will replay": 42})
    script = Script(reply(replay("planning"), 202), reply(replay()))
    result = desk.run(script, "dead-letters", "replay", LETTER_ID, "--dry-run")
    assert f"`darkroom replays start {REPLAY_ID}` starts it" in result.stderr
    assert len(script.requests) == 2


def test_one_letter_with_a_ramp_is_a_bulk_replay(desk: Desk) -> None:
    """A pace or a ramp needs a plan."""
    script = Script(reply(replay("planning"), 202), reply(replay()), reply(replay("running")))
    desk.run(script, "dead-letters", "replay", LETTER_ID, "--ramp", "1,2", "--stage-seconds", 60, "--yes", "--detach")
    assert json.loads(script.requests[0].content)["ramp"] == {"stages": [1, 2], "stage_seconds": 60}


def test_a_plan_of_nothing_is_an_error(desk: Desk) -> None:
    """There is nothing to confirm."""
    empty = replay(pending=0, left_out={"discarded": 2})
    script = Script(reply(replay("planning"), 202), reply(empty), reply(items()))
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, "--yes")
    assert (result.exit_code, len(script.requests)) == (1, 3)
    assert "None of the dead letters" in result.stderr


def test_a_lost_plan_is_not_made_twice(desk: Desk) -> None:
    """The error says that nothing is replayed, and where the plan would be."""
    script = Script(LOST)
    result = desk.run(script, "dead-letters", "replay", "--group", GROUP_ID, "--yes")
    assert (result.exit_code, len(script.requests)) == (1, 1)
    assert "Nothing is replayed; `darkroom replays list` shows whether it was planned." in result.stderr


def test_a_refused_edit_is_an_error(desk: Desk) -> None:
    """The refusal names the field."""
    refusal = problem(422, "invalid_request", "Expected `int` >= 1.", field="edit.input.num_inference_steps")
    result = desk.run(Script(refusal), "dead-letters", "replay", LETTER_ID, "--steps", 0)
    assert (result.exit_code, "edit.input.num_inference_steps" in result.stderr) == (1, True)


def test_the_scope_must_be_named(desk: Desk) -> None:
    """All dead letters are never meant by leaving everything out."""
    script = Script()
    result = desk.run(script, "dead-letters", "replay", "--yes")
    assert (result.exit_code, script.requests) == (1, [])
