"""The log of the render process, which is kept to explain a failure instead of being printed."""

from collections import deque
from collections.abc import MutableMapping
from typing import Any

import structlog

LINES = 60


class ProcessLog:
    """The last log lines of the current variant."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)

    def begin(self) -> None:
        """Remove all lines."""
        self._lines.clear()

    @property
    def lines(self) -> list[str]:
        """The lines, oldest first."""
        return list(self._lines)

    def add(self, lines: list[str]) -> None:
        """Append lines of another program."""
        self._lines.extend(lines)

    def listen(self) -> None:
        """Capture all further log lines of this process."""
        structlog.configure(processors=[self._take])

    def _take(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        self._lines.append(str(event.get("line", event["event"])))
        raise structlog.DropEvent
