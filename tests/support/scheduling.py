"""Which worker of pytest-xdist runs which tests, and in which order.

The tests of a file stay together, since they share fixtures, and so do all that use the shared stack. Those of the
protocol compute for long and share nothing, so they are handed out one by one. Slow folders come first, so that none is
left for the end.
"""

from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TESTS = Path(__file__).parents[1]
SLOWEST_FIRST = ("chaos", "e2e", "protocol", "integration/gpu_consumer", "integration", "render", "contract", "unit")
"""Folders of tests. `gpu` is not one of them, since it runs on other machines."""
STACK = "stack"
"""The fixture of the stack that tests share: its services and two warm workers."""
STACK_FOLDERS = ("tests/chaos/", "tests/e2e/")
"""Where tests may use it."""
LONERS = ("tests/e2e/test_edge.py", "tests/e2e/test_local_stack.py", "tests/e2e/test_pooler.py")
"""Files there that don't: another worker may run them meanwhile."""
RUNBOOK = "tests/e2e/runbook/"
"""The folder of tests that share a stack of their own, which waits for much and computes little."""
ONE_BY_ONE = "tests/protocol/"
"""The folder of tests that share no fixture."""


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole scopes, in the order in which their tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """Return what the tests have in common that one worker runs."""
    if nodeid.startswith(ONE_BY_ONE):
        return nodeid
    if nodeid.startswith(RUNBOOK):
        return RUNBOOK
    file = nodeid.split("::")[0]
    return STACK if file.startswith(STACK_FOLDERS) and file not in LONERS else file


def rank(path: Path) -> int:
    """Return the place of a test's file in the order of SLOWEST_FIRST."""
    places = (place for place, folder in enumerate(SLOWEST_FIRST) if path.is_relative_to(TESTS / folder))
    return next(places, len(SLOWEST_FIRST))


def check_scope(item: pytest.Item) -> None:
    """Raise UsageError for a test that would start a second shared stack."""
    module = getattr(item, "module", None)
    shared = STACK in getattr(item, "fixturenames", ()) and not hasattr(module, STACK)  # or it has one of its own
    if shared and scope(item.nodeid) not in (STACK, RUNBOOK):
        raise pytest.UsageError(f"{item.nodeid} uses the shared stack, so it belongs to one of {STACK_FOLDERS}")
