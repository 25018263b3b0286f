"""Hooks of a whole run, in its controlling process and in each worker of pytest-xdist.

The controlling process hosts the parts that all processes share. The tests of a file stay together, since they share
fixtures, and so do all that use the shared stack. Slow folders come first, so that none is left for the end.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.parts_host import Parts, PartsHost

TESTS = Path(__file__).parents[1]
SLOWEST_FIRST = ("chaos", "e2e", "protocol", "integration/gpu_consumer", "integration", "render", "contract", "unit")
"""Folders of tests, without `gpu`, which runs on other machines."""
STACK = "stack"
"""The fixture of the stack that tests share: its services and two warm workers."""
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: rank(item.path))


def group(item: pytest.Item) -> str:
    """Return what the tests have in common that one worker runs."""
    return STACK if STACK in getattr(item, "fixturenames", ()) else str(item.path.relative_to(TESTS))


def rank(path: Path) -> int:
    """Return the place of a test's file in the order of SLOWEST_FIRST."""
    places = (place for place, folder in enumerate(SLOWEST_FIRST) if path.is_relative_to(TESTS / folder))
    return next(places, len(SLOWEST_FIRST))


def pytest_unconfigure(config: pytest.Config) -> None:
    if host := config.stash.get(_host, None):
        host.stop()


@pytest.fixture(scope="session")
def parts(pytestconfig: pytest.Config) -> Parts:
    """Return the parts that all tests of the run share, each started at its first use."""
    return Parts(pytestconfig.stash[_address])
