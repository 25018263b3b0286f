"""Runs the commands of webhooks."""

import pytest
from click.testing import CliRunner, Result

import darkroom.commands
from darkroom.cli import main
from tests.unit.client.answers import KEY, Script


class Commands:
    """Runs `darkroom webhooks`; the API's answers come from a Script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("DARKROOM_URL", "http://edge")
        monkeypatch.setenv("DARKROOM_API_KEY", KEY)

    def run(self, script: Script, *arguments: object, stdin: str | None = None) -> Result:
        self._monkeypatch.setattr(darkroom.commands, "Client", script.client)
        return CliRunner().invoke(main, ["webhooks", *map(str, arguments)], input=stdin)
