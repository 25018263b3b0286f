import pytest

from tests.unit.client.webhook_commands.runner import Commands


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Return what runs `darkroom webhooks` with an API key."""
    return Commands(monkeypatch)
