"""What the commands of the local stack say when something is wrong."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from darkroom_local import cli, processes, stack
from darkroom_local.cli import main
from darkroom_local.home import Home
from darkroom_local.state import State


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def run(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, arguments)


def test_a_folder_that_is_not_one_is_named(home: Home) -> None:
    """The message names what is in the way and the setting that moves the stack."""
    home.path.touch()
    result = run("up")
    assert result.exit_code == 1
    assert f"File exists: '{home.path}'" in result.stdout
    assert "DARKROOM_HOME names another one." in result.stdout


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_damaged_state_is_named(home: Home, command: str) -> None:
    """Its passwords can't be guessed, so no command replaces it."""
    home.create()
    home.state_file.write_text('{"ports": {')
    result = run(command)
    assert result.exit_code == 1
    assert f"{home.state_file} is damaged" in result.stdout
    assert f"move {home.path} away" in result.stdout
    assert home.state_file.read_text() == '{"ports": {'


@pytest.mark.parametrize("missing", ["ports", "secrets"])
def test_the_state_of_another_version_is_not_a_running_stack(home: Home, missing: str) -> None:
    """What a newer version added is missing in it until the next start chooses it."""
    home.create()
    state = State()
    state.complete(())
    chosen = getattr(state, missing)
    del chosen[next(iter(chosen))]
    state.save(home)
    assert json.loads(run("status", "--json").stdout)["running"] is False
    assert run("down").exit_code == 0


def test_processes_are_stopped_though_their_folder_is_gone(home: Home) -> None:
    """`down` finds them by their mark."""
    environment = {**os.environ, processes.MARK: str(home.path)}
    code = "import time; print('up', flush=True); time.sleep(600)"
    with subprocess.Popen((sys.executable, "-c", code), env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            assert run("down").exit_code == 0
            assert processes.of_stack(home.path) == []
        finally:
            child.kill()


def test_an_interrupt_says_what_runs_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command and none of the programs that it started."""

    def interrupted(home: Home) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "up", interrupted)
    result = run("up")
    assert result.exit_code == cli.INTERRUPTED
    assert f"`DARKROOM_HOME={home.path} make down` stops all." in result.stdout


def test_an_error_is_readable_in_any_encoding(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that the terminal's encoding lacks is replaced."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with pytest.raises(SystemExit):
        main(["logs"])
    sys.stdout.flush()
    assert written.getvalue().startswith(b"\\u2717 ")
