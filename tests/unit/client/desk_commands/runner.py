"""Runs the commands of the operators' desk."""

import pytest
from click.testing import CliRunner, Result

import darkroom.commands
from darkroom.cli import main
from darkroom.desk_commands import confirming
from tests.unit.client.answers import KEY, Script


class Desk:
    """Runs commands with an operator's key; the API's answers come from a Script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("DARKROOM_URL", "http://edge")
        monkeypatch.setenv("DARKROOM_OPERATOR_KEY", KEY)

    def run(self, script: Script, *arguments: object, answer: str | None = None) -> Result:
        """Run a command. With an `answer` there is a terminal at which somebody types it."""
        self._monkeypatch.setattr(darkroom.commands, "Client", script.client)
        self._monkeypatch.setattr(confirming, "is_interactive", lambda: answer is not None)
        typed = None if answer is None else f"{answer}\n"
        return CliRunner().invoke(main, [*map(str, arguments)], input=typed)
