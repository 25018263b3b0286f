"""`darkroom webhooks listen` in a process of its own."""

import re
from pathlib import Path

from darkroom_local.program import base_environment
from tests.support.children import Child
from tests.support.commands import DARKROOM
from tests.support.waiting import eventually


class Listening:
    """The command, and what it printed."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        command = (str(DARKROOM), "webhooks", "listen", "--port", "0", *options)
        self.child = Child(command, {**base_environment(), **environment}, folder, folder / "listen.log")

    @property
    def lines(self) -> list[str]:
        return self.child.log.read_text().splitlines()

    async def url(self) -> str:
        """Wait until it listens, and return where."""
        await eventually(lambda: self._url() is not None, what=f"the command listens: {self.lines}", seconds=60)
        return str(self._url())

    async def line(self, text: str) -> str:
        """Wait for a line with a text, and return it."""
        await eventually(lambda: bool(self._with(text)), what=f"a line with {text!r}", seconds=60)
        return self._with(text)[0]

    def _with(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]

    def _url(self) -> str | None:
        found = re.search(r"^Listening on (http://127\.0\.0\.1:\d+/)$", "\n".join(self.lines), re.MULTILINE)
        return found[1] if found else None
