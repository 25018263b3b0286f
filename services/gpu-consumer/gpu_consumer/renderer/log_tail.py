"""The render process's output: logged, and its last lines kept to explain a failure or a death."""

import asyncio
from collections import deque

import structlog

from chassis.text import storable

LINES_KEPT = 50
"""Enough for the traceback of a crash in native code."""
LINE_LIMIT = 1000
"""Bytes kept of a line."""

log = structlog.get_logger(__name__)


class LogTail:
    """Reads a stream of lines to its end and keeps the last ones."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._count = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._lines)

    @property
    def count(self) -> int:
        """Number of lines so far: a mark for `since`."""
        return self._count

    def since(self, mark: int) -> tuple[str, ...]:
        """Return the lines after the mark, as far as they are kept."""
        fresh = min(self._count - mark, len(self._lines))
        return tuple(self._lines)[len(self._lines) - fresh :]

    async def run(self) -> None:
        """Read to the end of the stream."""
        rest = b""
        while chunk := await self._stream.read(1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            rest = rest[:LINE_LIMIT]
            for line in whole:
                self._keep(line)
        self._keep(rest)

    def _keep(self, line: bytes) -> None:
        text = storable(line[:LINE_LIMIT].decode(errors="replace")).rstrip()  # for the attempt's record
        if text:
            self._lines.append(text)
            self._count += 1
            log.info("render_process_output", line=text)
