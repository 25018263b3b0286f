import pytest

from darkroom.desk_commands.replay_display import LINE_SECONDS, LOST, Lines
from tests.unit.client.answers import Script, reply
from tests.unit.client.desk_commands.runner import Desk
from tests.unit.client.replay_answers import RAMP, REPLAY_ID, replay


def test_a_terminal_shows_a_bar(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stage, how many have ended, and how many are under way or failed."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    running = replay("running", ramp=RAMP, stage=2, pending=38, replayed=1, succeeded=2, failed=1)
    result = desk.run(Script(reply(running), KeyboardInterrupt()), "replays", "watch", REPLAY_ID)
    assert "running, stage 2 (2 at a time)" in result.stderr
    assert "3/42" in result.stderr
    assert "1 under way, 1 failed" in result.stderr
    assert result.stdout == ""


def test_lines_are_printed_for_changes_and_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """A new stage is a change, a new count is not."""
    now = 100.0
    show = Lines(lambda: now).show
    show(replay("running", ramp=RAMP, stage=1))
    show(replay("running", ramp=RAMP, stage=1, replayed=1, pending=41))
    show(replay("running", ramp=RAMP, stage=2, succeeded=1, pending=41))
    now += LINE_SECONDS
    show(replay("running", ramp=RAMP, stage=2, succeeded=2, pending=40))
    assert capsys.readouterr().err.splitlines() == [
        "running, stage 1 (1 at a time): 0 of 42 ended, 0 under way",
        "running, stage 2 (2 at a time): 1 of 42 ended, 0 under way",
        "running, stage 2 (2 at a time): 2 of 42 ended, 0 under way",
    ]


def test_a_lost_connection_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And what is shown after it is another one, though nothing has changed."""
    lines = Lines()
    lines.show(replay("running"))
    lines.lose()
    lines.lose()
    lines.show(replay("running"))
    running = "running: 0 of 42 ended, 0 under way"
    assert capsys.readouterr().err.splitlines() == [running, LOST, running]
