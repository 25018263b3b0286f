import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def imported_tests(source: str) -> list[str]:
    """Return the modules of tests, or members of them, that the source imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    return [name for name in names if name.startswith("tests.") and ".test_" in name]


def test_no_test_imports_another() -> None:
    """What two tests share is in tests/support, or in a module beside them that holds no test."""
    found = {file: imported_tests(file.read_text()) for file in TESTS.rglob("*.py")}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from tests.unit.test_a import b",
        "from tests.unit import test_a",
        "import tests.unit.test_a",
        "def f():\n    import tests.test_a",
    ],
)
def test_an_import_is_found(source: str) -> None:
    """However it is written."""
    assert imported_tests(source)
