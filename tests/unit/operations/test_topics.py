import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import operations

PACKAGE = Path(operations.__file__).parent
TOPICS = sorted(path.parent.name for path in PACKAGE.glob("*/queries.sql"))


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_store_belongs_to_its_topic(topic: str) -> None:
    """Only the modules of a topic import its store, and only its store loads its queries."""
    store = f"operations.{topic}.store"
    importers = {path for path in PACKAGE.rglob("*.py") if store in imported(path)}
    assert importers
    assert {path.parent for path in importers} == {PACKAGE / topic}
    loaders = {path for path in PACKAGE.rglob("*.py") if f'load_queries("operations.{topic}")' in path.read_text()}
    assert loaders == {PACKAGE / topic / "store.py"}


def test_every_topic_has_a_store() -> None:
    """A topic is a folder with one store and one file of queries."""
    assert "letters" in TOPICS
    assert sorted(path.parent.name for path in PACKAGE.rglob("store.py")) == TOPICS
    assert len(list(PACKAGE.rglob("*.sql"))) == len(TOPICS)
