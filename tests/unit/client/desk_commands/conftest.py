import pytest

from tests.unit.client.desk_commands.runner import Desk


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return what runs commands of the desk with an operator's key."""
    return Desk(monkeypatch)
