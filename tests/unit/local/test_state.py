"""The state of a stack that outlives it."""

import socket
import stat
from pathlib import Path

import pytest

from darkroom_local.errors import LocalError
from darkroom_local.home import Home
from darkroom_local.ports import LOOPBACK, free_port
from darkroom_local.services import read_services
from darkroom_local.state import PART_PORTS, SECRETS, State

SERVICES = read_services()


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_PORT", raising=False)


def complete_state() -> State:
    state = State()
    state.complete(SERVICES)
    return state


def test_a_new_stack_chooses_everything() -> None:
    """It chooses every port and every secret, all of them different."""
    state = complete_state()
    assert set(state.ports) == {*PART_PORTS, *(service.port_name for service in SERVICES)}
    assert len(set(state.ports.values())) == len(PART_PORTS) + len(SERVICES)
    assert set(state.secrets) == set(SECRETS)
    assert len(set(state.secrets.values())) == len(SECRETS)


def test_two_stacks_share_no_secret() -> None:
    """Each stack generates its own passwords."""
    assert not set(complete_state().secrets.values()) & set(complete_state().secrets.values())


def test_choices_are_kept(tmp_path: Path) -> None:
    """The next start finds the same ports, secrets and keys."""
    home = Home(tmp_path)
    state = complete_state()
    state.keys["client"] = "dk_client_x"
    state.save(home)
    again = State.load(home)
    assert again == state
    assert again.complete(SERVICES) == []
    assert again == state


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    """The file holds passwords."""
    complete_state().save(Home(tmp_path))
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_port_in_use_is_replaced() -> None:
    """A kept port that another program uses now is replaced, and its name is returned."""
    state = complete_state()
    old = state.ports["amqp"]
    with socket.socket() as other:
        other.bind((LOOPBACK, old))
        other.listen()
        assert state.complete(SERVICES) == ["amqp"]
    assert state.ports["amqp"] != old


def test_the_edge_takes_the_chosen_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """DARKROOM_PORT sets the edge's port and replaces the kept one."""
    state = complete_state()
    chosen = free_port(state.ports.values())
    monkeypatch.setenv("DARKROOM_PORT", str(chosen))
    state.complete(SERVICES)
    assert state.ports["edge"] == chosen


@pytest.mark.parametrize("text", ["web", "0", "65536", "-1"])
def test_a_choice_that_is_not_a_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message names the variable and its value."""
    monkeypatch.setenv("DARKROOM_PORT", text)
    with pytest.raises(LocalError, match=f"DARKROOM_PORT is '{text}'"):
        State().complete(SERVICES)


def test_the_choice_of_a_port_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge never takes another port than the one that DARKROOM_PORT names."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        monkeypatch.setenv("DARKROOM_PORT", str(other.getsockname()[1]))
        with pytest.raises(LocalError, match="another program listens on that port"):
            State().complete(SERVICES)
