"""Hooks of the quick tier: what a test there must not import or start. Its conftest modules import them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SLOW_IMPORTS = ("torch", "diffusers", "transformers")
PARTS = "parts"


@contextmanager
def _slow_imports_forbidden() -> Iterator[None]:
    """Make `import torch` fail, even where another test has imported it already."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SLOW_IMPORTS:
            patch.setitem(sys.modules, name, None)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    with _slow_imports_forbidden():
        return (yield)


# One hook a phase: `pytest_runtest_protocol` around them is called for every folder's tests.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    if PARTS in getattr(item, "fixturenames", ()):
        pytest.fail("tests that use RabbitMQ, PostgreSQL or S3 belong to tests/integration", pytrace=False)
    with _slow_imports_forbidden():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _slow_imports_forbidden():
        return (yield)
