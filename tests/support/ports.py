"""Ports for the servers that tests start. None is given twice in a run, whichever of its processes asks."""

import os
import random
from collections.abc import Iterator
from itertools import cycle

from darkroom_local.ports import CANDIDATES, is_free

PROCESSES = 8
"""Processes of one run that may choose ports at the same time; pytest-xdist numbers them."""
RANGE = range(10_000, CANDIDATES.start)
"""Below the ports that a local stack chooses for itself."""


def candidates(worker: str | None) -> range:
    """Return the ports of one process of the run: `gw0`, `gw1`, ... are workers, None is the controlling process."""
    size = len(RANGE) // PROCESSES
    index = (int(worker.removeprefix("gw")) + 1) % PROCESSES if worker else 0
    return RANGE[index * size : (index + 1) * size]


def _in_turn(ports: range) -> Iterator[int]:
    """Begin anywhere, so that two runs on one machine differ."""
    first = random.randrange(len(ports))
    return cycle([*ports[first:], *ports[:first]])


_turns = _in_turn(candidates(os.environ.get("PYTEST_XDIST_WORKER")))


def free_port() -> int:
    """Return a port that is free now and that no other test of this run was given."""
    return next(port for port in _turns if is_free(port))


def free_ports(count: int) -> list[int]:
    """Return `count` different free ports."""
    return [free_port() for _ in range(count)]
