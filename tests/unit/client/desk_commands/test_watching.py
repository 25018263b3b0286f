import json

import httpx2
import pytest

from darkroom.desk_commands import watching
from tests.unit.client.answers import Script, problem, reply
from tests.unit.client.desk_answers import HOSTILE
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.replay_answers import RAMP, REPLAY_ID, finished, item, items, replay

LOST = httpx2.ReadError("connection reset")


def test_a_replay_is_followed_to_its_end(desk: Desk) -> None:
    """Through every status; each is a line on stderr where there is no terminal."""
    script = Script(
        reply(replay("planning", pending=7)),
        reply(replay("planned")),
        reply(replay("running", pending=40, replayed=2)),
        reply(finished()),
    )
    result = desk.run(script, "replays", "watch", REPLAY_ID)
    assert (result.exit_code, result.stdout) == (0, f"Replay {REPLAY_ID} is finished; all 42 succeeded.\n")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == [
        "planning",
        "planned",
        "running",
        "finished",
    ]


def test_programs_get_the_end_of_the_replay(desk: Desk) -> None:
    """`--json` prints it also where the command fails."""
    result = desk.run(Script(reply(finished(failed=2))), "replays", "watch", REPLAY_ID, "--json")
    assert (result.exit_code, json.loads(result.stdout)["items"]["failed"]) == (1, 2)


@pytest.mark.parametrize("state", ["failed", "refused"])
def test_failures_fail_the_command(desk: Desk, state: str) -> None:
    """The first ones are printed with their reasons, and the command that lists all."""
    bad = item(state, error="The scheduler failed at step 7.")
    script = Script(reply(finished(**{state: 2})), reply(items(bad, bad)))
    result = desk.run(script, "replays", "watch", REPLAY_ID)
    assert result.exit_code == 1
    assert result.stdout.count("The scheduler failed at step 7.") == 2
    assert script.requests[1].url.params["state"] == state
    assert f"42 of 42 ended, 2 {state}. `darkroom replays show {REPLAY_ID} --state {state}` lists them." in (
        result.stderr
    )


def test_a_pause_ends_the_command_with_its_reason(desk: Desk) -> None:
    """And with the commands that continue or end the replay; what a job's error says obeys no terminal."""
    reason = f"Stage 2 has a failure. The job is failed: {HOSTILE}\nError: forged"
    script = Script(reply(replay("paused", paused_reason=reason, ramp=RAMP, stage=2, pending=40, succeeded=2)))
    result = desk.run(script, "replays", "watch", REPLAY_ID)
    error = result.stderr.splitlines()[-1]
    assert result.exit_code == 1
    assert error.startswith(f"Error: Replay {REPLAY_ID} is paused: 2 of 42 ended. Stage 2 has a failure.")
    assert f"`darkroom replays resume {REPLAY_ID}` continues it" in error
    assert all(char.isprintable() or char == "\n" for char in result.output)


def test_a_cancel_ends_the_command(desk: Desk) -> None:
    """What was replayed continues."""
    result = desk.run(Script(reply(replay("canceled", replayed=2, pending=40))), "replays", "watch", REPLAY_ID)
    assert (result.exit_code, "What it has replayed continues" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("looks", "sentence", "commands"),
    [
        (["running"], f"Stopped watching. Replay {REPLAY_ID} continues as it is;", ["watch", "pause"]),
        (["planning"], f"Stopped. Replay {REPLAY_ID} is not started;", ["start"]),
        (["planning", "planned"], f"Stopped. Replay {REPLAY_ID} is not started;", ["start", "cancel"]),
        ([], "Stopped.", ["watch"]),
    ],
)
def test_ctrl_c_stops_watching_alone(desk: Desk, looks: list[str], sentence: str, commands: list[str]) -> None:
    """The error says how the replay stands, and the commands that help."""
    script = Script(*(reply(replay(status)) for status in looks), KeyboardInterrupt())
    result = desk.run(script, "replays", "watch", REPLAY_ID)
    error = result.stderr.splitlines()[-1]
    assert (result.exit_code, error.startswith(f"Error: {sentence}")) == (1, True)
    assert [part.split()[2] for part in error.split("`")[1::2]] == commands
    assert {request.method for request in script.requests} == {"GET"}


def test_a_lost_connection_is_survived(desk: Desk) -> None:
    """Also if the service is away for longer than a request is retried, as while it restarts."""
    script = Script(reply(replay("running")), *[LOST] * 9, reply(replay("running")), reply(finished()))
    result = desk.run(script, "replays", "watch", REPLAY_ID)
    assert (result.exit_code, len(script.requests)) == (0, 12)
    assert result.stderr.splitlines() == [
        "running: 0 of 42 ended, 0 under way",
        "connection lost, trying again",
        "running: 0 of 42 ended, 0 under way",
        "finished: 42 of 42 ended",
    ]


@pytest.mark.parametrize("lost", [LOST, problem(503, "unavailable", "Operations can't be reached.")])
def test_a_service_that_stays_away_does_not_stop_the_replay(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, lost: httpx2.Response | Exception
) -> None:
    """The error says so, and how to watch it again."""
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.0)
    result = desk.run(Script(reply(replay("running")), *[lost] * 4), "replays", "watch", REPLAY_ID)
    assert result.exit_code == 1
    assert f"continues as it is; `darkroom replays watch {REPLAY_ID}` shows it again." in result.stderr


def test_an_unknown_replay_is_named(desk: Desk) -> None:
    """With the command that lists them."""
    result = desk.run(Script(problem(404, "not_found", "There is no such replay.")), "replays", "watch", REPLAY_ID)
    assert (result.exit_code, "`darkroom replays list`" in result.stderr) == (1, True)
    assert "continues" not in result.stderr
