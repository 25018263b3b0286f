"""Free TCP ports on loopback."""

import random
import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"
# Below the kernel's ephemeral range, so that no outgoing connection takes a port between two starts of a stack.
CANDIDATES = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Return whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: Container[int] = ()) -> int:
    """Return a free port that is not in `taken`.

    The choice is random, so that two stacks that start at the same time choose different ports.
    """
    while True:
        port = random.choice(CANDIDATES)  # noqa: S311 - a port, not a secret
        if port not in taken and is_free(port):
            return port


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports."""
    ports: list[int] = []
    while len(ports) < count:
        ports.append(free_port(ports))
    return ports
