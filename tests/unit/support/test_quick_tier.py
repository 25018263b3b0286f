from importlib import import_module
from types import SimpleNamespace

import pytest

from tests.support.quick_tier import PARTS, SLOW_IMPORTS, pytest_runtest_setup


@pytest.mark.parametrize("name", SLOW_IMPORTS)
def test_slow_imports_fail(name: str) -> None:
    """A test of the quick tier can't import what takes seconds to import."""
    with pytest.raises(ModuleNotFoundError, match=name):
        import_module(name)


def test_parts_are_refused() -> None:
    """A test of the quick tier that asks for a real part fails, and reads where it belongs."""
    with pytest.raises(pytest.fail.Exception, match="tests/integration"):
        next(pytest_runtest_setup(SimpleNamespace(fixturenames=[PARTS, "database"])))  # type: ignore[arg-type]
