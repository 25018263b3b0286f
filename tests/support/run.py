"""Hooks of a whole run, in its controlling process and in each worker of pytest-xdist.

The controlling process hosts the parts that all processes share, and schedules the tests.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.parts_host import Parts, PartsHost
from tests.support.scheduling import Scheduling, check_scope, rank

ADDRESS = "parts"
"""Under which pytest-xdist hands the address of the parts' host to its workers."""

_host = pytest.StashKey[PartsHost]()
_address = pytest.StashKey[Path]()


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
    """Pass the run's settings to a worker of pytest-xdist that is about to start."""
    node.workerinput[ADDRESS] = str(node.config.stash[_address])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Schedule the tests of the run."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests of a worker as they are handed out; the order of a single process is that of the folders."""
    for item in items:
        check_scope(item)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.path))


def pytest_unconfigure(config: pytest.Config) -> None:
    if host := config.stash.get(_host, None):
        host.stop()


@pytest.fixture(scope="session")
def parts(pytestconfig: pytest.Config) -> Parts:
    """Return the parts that all tests of the run share, each started at its first use."""
    return Parts(pytestconfig.stash[_address])
