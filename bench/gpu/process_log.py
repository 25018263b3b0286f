"""What the render process wrote to its output, kept to explain a failure instead of being printed."""

from collections import deque
from collections.abc import MutableMapping
from typing import Any

import structlog

LINES = 60


class ProcessLog:
    """The last lines of the variant that is being measured."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)

    def begin(self) -> None:
        """Forget what was written before."""
        self._lines.clear()

    @property
    def lines(self) -> list[str]:
        return list(self._lines)

    def add(self, lines: list[str]) -> None:
        """Keep the lines of another program too."""
        self._lines.extend(lines)

    def listen(self) -> None:
        """Take all that this process would log from now on."""
        structlog.configure(processors=[self._take])

    def _take(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        self._lines.append(str(event.get("line", event["event"])))
        raise structlog.DropEvent
