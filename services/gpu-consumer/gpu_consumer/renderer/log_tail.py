"""The render process's output: passed on to the log, its end kept to explain a failure or a death."""

import asyncio
from collections import deque

import structlog

LINES_KEPT = 50
"""Enough for the traceback of a crash in native code."""
LINE_LIMIT = 1000
"""Bytes of a line that are kept."""

log = structlog.get_logger(__name__)


class LogTail:
    """Reads a stream of lines to its end and remembers the last ones."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._count = 0

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    @property
    def count(self) -> int:
        """How many lines there were so far: a mark for `since`."""
        return self._count

    def since(self, mark: int) -> tuple[str, ...]:
        """What came after the mark, as far as it is kept."""
        fresh = min(self._count - mark, len(self._lines))
        return tuple(self._lines)[len(self._lines) - fresh :]

    async def run(self) -> None:
        rest = b""
        while chunk := await self._stream.read(1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            rest = rest[:LINE_LIMIT]
            for line in whole:
                self._keep(line)
        self._keep(rest)

    def _keep(self, line: bytes) -> None:
        # The lines go onto the attempt's record, and Postgres takes no NUL.
        text = line[:LINE_LIMIT].decode(errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}").rstrip()
        if text:
            self._lines.append(text)
            self._count += 1
            log.info("render_process_output", line=text)
