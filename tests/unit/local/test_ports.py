"""Free ports on loopback."""

import socket
from pathlib import Path

from darkroom_local.ports import CANDIDATES, LOOPBACK, free_port, free_ports, is_free


def listening() -> socket.socket:
    server = socket.socket()
    server.bind((LOOPBACK, 0))
    server.listen()
    return server


def test_a_port_in_use_is_not_free() -> None:
    """A port with a listener is not free, and is free again when the listener is closed."""
    with listening() as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_taken_ports_are_not_chosen() -> None:
    """With all candidates but one taken, that one is chosen."""
    only = free_port()
    assert free_port(set(CANDIDATES) - {only}) == only


def test_several_ports_differ() -> None:
    """One call never returns a port twice."""
    assert len(set(free_ports(50))) == 50


def test_no_outgoing_connection_takes_a_chosen_port() -> None:
    """All candidates are below the kernel's ephemeral range."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert CANDIDATES.stop <= lowest
