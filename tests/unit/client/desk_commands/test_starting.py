import json

import httpx2
import pytest

from tests.unit.client.answers import AT, Script, problem, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.replay_answers import PATH, REPLAY_ID, finished, replay

LOST = httpx2.ReadError("connection reset")
CONFLICT = problem(409, "conflict", "The replay is running, so it can't be started.")


def test_a_plan_is_shown_confirmed_and_started(desk: Desk) -> None:
    """As `dead-letters replay` does it, later and possibly by another operator."""
    script = Script(*map(reply, (replay(), replay(), replay("running"), finished())))
    result = desk.run(script, "replays", "start", REPLAY_ID, answer="42")
    assert (result.exit_code, result.stdout.count(f"Plan {REPLAY_ID}:")) == (0, 1)
    assert [request.url.path.removeprefix(PATH) for request in script.requests] == ["", "", "/start", ""]


def test_a_plan_under_way_is_waited_for(desk: Desk) -> None:
    """The question comes once it is complete."""
    script = Script(*map(reply, (replay("planning"), replay("planning"), replay(), replay("running"))))
    result = desk.run(script, "replays", "start", REPLAY_ID, "--yes", "--detach")
    assert (result.exit_code, f"`darkroom replays watch {REPLAY_ID}` follows it" in result.stderr) == (0, True)


def test_ctrl_c_while_planning_starts_nothing(desk: Desk) -> None:
    """The plan is finished without the command."""
    script = Script(reply(replay("planning")), reply(replay("planning")), KeyboardInterrupt())
    result = desk.run(script, "replays", "start", REPLAY_ID, "--yes")
    assert (result.exit_code, "is not started" in result.stderr) == (1, True)
    assert {request.method for request in script.requests} == {"GET"}


def test_without_a_terminal_nothing_is_requested(desk: Desk) -> None:
    """The error says to give --yes."""
    script = Script()
    result = desk.run(script, "replays", "start", REPLAY_ID)
    assert (result.exit_code, script.requests, "give --yes" in result.stderr) == (1, [], True)


@pytest.mark.parametrize("status", ["running", "paused", "finished"])
def test_a_replay_that_was_started_already_names_who_knows_more(desk: Desk, status: str) -> None:
    """When, and the commands that show by which key and follow it."""
    found = reply(replay(status, started_at=AT))
    result = desk.run(Script(found, found), "replays", "start", REPLAY_ID, "--yes")
    assert result.exit_code == 1
    assert f"was started at 2026-11-21 12:00:00Z and is {status}" in result.stderr
    assert f"`darkroom audit --subject {REPLAY_ID}`" in result.stderr
    assert f"`darkroom replays watch {REPLAY_ID}` follows it" in result.stderr


def test_a_canceled_replay_is_not_started(desk: Desk) -> None:
    """The error says when it was canceled, and that another plan is needed."""
    found = reply(replay("canceled", started_at=None, finished_at=AT))
    result = desk.run(Script(found, found), "replays", "start", REPLAY_ID, "--yes")
    assert "is canceled at 2026-11-21 12:00:00Z, so it can't be started" in result.stderr


def test_of_two_operators_at_once_one_starts_it(desk: Desk) -> None:
    """The other one is refused while the count is typed, and learns who was first."""
    script = Script(reply(replay()), reply(replay()), CONFLICT, reply(replay("running")))
    result = desk.run(script, "replays", "start", REPLAY_ID, answer="42")
    assert (result.exit_code, f"Replay {REPLAY_ID} was started at" in result.stderr) == (1, True)


def test_a_count_that_differs_is_the_api_s_refusal(desk: Desk) -> None:
    """It says the number."""
    refused = problem(409, "count_differs", "The replay is of 41 dead letters. Confirm that number.")
    result = desk.run(Script(reply(replay()), reply(replay()), refused), "replays", "start", REPLAY_ID, "--yes")
    assert (result.exit_code, "The replay is of 41 dead letters." in result.stderr) == (1, True)


def test_a_lost_start_is_looked_up_and_followed(desk: Desk) -> None:
    """The operator sees no error: it was carried out."""
    script = Script(reply(replay()), reply(replay()), LOST, reply(replay("running")), reply(finished()))
    result = desk.run(script, "replays", "start", REPLAY_ID, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (0, "finished")


def test_an_unknown_start_is_reported_as_that(desk: Desk) -> None:
    """Neither the start nor the look came through: the command that shows it is named."""
    script = Script(reply(replay()), reply(replay()), *[LOST] * 5)
    result = desk.run(script, "replays", "start", REPLAY_ID, "--yes")
    assert result.exit_code == 1
    assert f"was possibly started: `darkroom replays show {REPLAY_ID}` shows whether it was." in result.stderr


def test_ctrl_c_in_a_start_is_reported_as_unknown(desk: Desk) -> None:
    """The request is possibly carried out."""
    script = Script(reply(replay()), reply(replay()), KeyboardInterrupt())
    result = desk.run(script, "replays", "start", REPLAY_ID, "--yes")
    assert (result.exit_code, "was possibly started" in result.stderr) == (1, True)
