"""What a stack decides once and keeps."""

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
def no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_PORT", raising=False)


def settled() -> State:
    state = State()
    state.settle(SERVICES)
    return state


def test_a_new_stack_chooses_everything() -> None:
    """Every port and every secret is there, and no two are the same."""
    state = settled()
    assert set(state.ports) == {*PART_PORTS, *(service.port_name for service in SERVICES)}
    assert len(set(state.ports.values())) == len(PART_PORTS) + len(SERVICES)
    assert set(state.secrets) == set(SECRETS)
    assert len(set(state.secrets.values())) == len(SECRETS)


def test_two_stacks_share_no_secret() -> None:
    """Passwords are made anew for each stack."""
    assert not set(settled().secrets.values()) & set(settled().secrets.values())


def test_choices_are_kept(tmp_path: Path) -> None:
    """The next start finds the same ports, secrets and keys."""
    home = Home(tmp_path)
    state = settled()
    state.keys["client"] = "dk_client_x"
    state.save(home)
    again = State.load(home)
    assert again == state
    assert again.settle(SERVICES) == []
    assert again == state


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    """The file holds passwords."""
    settled().save(Home(tmp_path))
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_port_taken_meanwhile_moves() -> None:
    """A kept port that another program took since is chosen anew, and told."""
    state = settled()
    old = state.ports["amqp"]
    with socket.socket() as other:
        other.bind((LOOPBACK, old))
        other.listen()
        assert state.settle(SERVICES) == ["amqp"]
    assert state.ports["amqp"] != old


def test_the_edge_takes_the_port_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """DARKROOM_PORT sets the edge's port, over what was kept."""
    state = settled()
    wanted = free_port(state.ports.values())
    monkeypatch.setenv("DARKROOM_PORT", str(wanted))
    state.settle(SERVICES)
    assert state.ports["edge"] == wanted


@pytest.mark.parametrize("text", ["web", "0", "65536", "-1"])
def test_a_wish_that_is_no_port_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message names the variable and its value."""
    monkeypatch.setenv("DARKROOM_PORT", text)
    with pytest.raises(LocalError, match=f"DARKROOM_PORT is '{text}'"):
        State().settle(SERVICES)


def test_a_wish_for_a_taken_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edge never moves away from the port that a person asked for."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        monkeypatch.setenv("DARKROOM_PORT", str(other.getsockname()[1]))
        with pytest.raises(LocalError, match="another program listens on that port"):
            State().settle(SERVICES)
