"""Hooks of a whole run: its controlling process hosts the parts that all of its processes share."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.parts_host import Parts, PartsHost

_host = pytest.StashKey[PartsHost]()
_address = pytest.StashKey[Path]()
ADDRESS = "parts"
"""Under which pytest-xdist hands the host's address to its workers."""


def pytest_configure(config: pytest.Config) -> None:
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_address] = Path(worker_input[ADDRESS])
        return
    host = config.stash[_host] = PartsHost()
    host.start()
    config.stash[_address] = host.address


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """A worker of pytest-xdist is about to start."""
    node.workerinput[ADDRESS] = str(node.config.stash[_address])


def pytest_unconfigure(config: pytest.Config) -> None:
    if host := config.stash.get(_host, None):
        host.stop()


@pytest.fixture(scope="session")
def parts(pytestconfig: pytest.Config) -> Parts:
    """The parts that all tests of the run share, each started when it is first asked for."""
    return Parts(pytestconfig.stash[_address])
