import sys
from collections.abc import Callable

import pytest

from tests.unit.client.desk_commands.runner import Desk


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return what runs commands of the desk with an operator's key."""
    return Desk(monkeypatch)


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[int], None]:
    """Return a function that makes stdout a terminal with that number of columns."""

    def set_columns(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", f"{columns}")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return set_columns
