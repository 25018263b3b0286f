"""The settings of a stack's services, and the environment file for shells."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom_local.blueprint import Blueprint
from darkroom_local.environment import write_env_file
from darkroom_local.home import Home
from darkroom_local.services import read_services
from darkroom_local.state import State

PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a home")
    home.create()
    return home


@pytest.fixture
def state() -> State:
    state = State()
    state.complete(read_services())
    state.keys = {"client": "dk_client_1", "operator": "dk_operator_2"}
    return state


def settings(home: Home, state: State) -> dict[str, str]:
    return Blueprint.draw(home, state, read_services()).settings


def sourced(file: Path) -> dict[str, str]:
    """Return the environment of a program that a shell starts after sourcing the file."""
    script = f'. "$1" && "{sys.executable}" -c "$2"'
    command = ("bash", "-euc", script, "bash", str(file), PRINT_ENVIRONMENT)
    output = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(output))


def test_a_shell_gets_all_settings_from_the_file(home: Home, state: State) -> None:
    """Sourcing the file exports the API's URL, both keys and every setting with its exact value."""
    wanted = settings(home, state) | {"DARKROOM_WEBHOOK_NOTE": 'it\'s "quoted" $HOME `id` \\ ;#'}
    write_env_file(home, state, wanted)
    seen = sourced(home.env_file)
    assert {key: seen[key] for key in wanted} == wanted
    assert seen["DARKROOM_URL"] == f"http://127.0.0.1:{state.ports['edge']}"
    assert seen["DARKROOM_API_KEY"] == "dk_client_1"
    assert seen["DARKROOM_OPERATOR_KEY"] == "dk_operator_2"
    assert seen["DARKROOM_HOME"] == str(home.path)


def test_only_the_owner_can_read_it(home: Home, state: State) -> None:
    """The file has mode 600, in a folder of mode 700."""
    write_env_file(home, state, settings(home, state))
    assert stat.S_IMODE(home.env_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_a_machine_without_a_gpu_is_the_default(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without other settings the worker renders the model shapes on the CPU."""
    monkeypatch.delenv("DARKROOM_DEVICE", raising=False)
    monkeypatch.delenv("DARKROOM_MODEL", raising=False)
    chosen = settings(home, state)
    assert (chosen["DARKROOM_DEVICE"], chosen["DARKROOM_MODEL"]) == ("cpu", "shapes")


def test_the_callers_settings_win_over_defaults(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every DARKROOM_ setting of the caller is passed to the services."""
    monkeypatch.setenv("DARKROOM_DEVICE", "cuda")
    monkeypatch.setenv("DARKROOM_RETRY_DELAYS", "1,2")
    chosen = settings(home, state)
    assert (chosen["DARKROOM_DEVICE"], chosen["DARKROOM_RETRY_DELAYS"]) == ("cuda", "1,2")


def test_another_stacks_places_are_ignored(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that sourced another stack's file starts this stack on its own database and ports."""
    monkeypatch.setenv("DARKROOM_DATABASE_URL", "postgresql://other")
    monkeypatch.setenv("DARKROOM_GATEWAY_PORT", "1")
    monkeypatch.setenv("DARKROOM_API_KEY", "dk_other")
    chosen = settings(home, state)
    assert chosen["DARKROOM_DATABASE_URL"] == Blueprint.draw(home, state, read_services()).postgres.url
    assert chosen["DARKROOM_GATEWAY_PORT"] == str(state.ports["gateway"])
    assert "DARKROOM_API_KEY" not in chosen


def test_webhooks_may_reach_this_machine(home: Home, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 is allowed for development; the caller's own setting replaces it."""
    assert settings(home, state)["DARKROOM_WEBHOOK_ALLOWED_HOSTS"] == "127.0.0.1"
    monkeypatch.setenv("DARKROOM_WEBHOOK_ALLOWED_HOSTS", "receiver")
    assert settings(home, state)["DARKROOM_WEBHOOK_ALLOWED_HOSTS"] == "receiver"
