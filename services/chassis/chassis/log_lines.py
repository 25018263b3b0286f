"""Buffered log lines: the lines of one iteration of the event loop are written together.

Each write wakes the reader of the log, and requests that end together log a line each. A line waits for the other
callbacks of its iteration and never for I/O, so a killed process loses the lines of its last iteration at most.
"""

import asyncio
from threading import Lock
from typing import TextIO


class Lines:
    """A thread-safe text stream that can defer writes to the end of the event loop's iteration."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = Lock()
        self._waiting: list[str] = []

    def write(self, text: str) -> None:
        """Buffer whole lines; `flush` or `flush_soon` writes them."""
        with self._lock:
            self._waiting.append(text)

    def flush(self) -> None:
        """Write all buffered lines, in order."""
        with self._lock:
            text = "".join(self._waiting)
            self._waiting.clear()
            if text:
                self._file.write(text)
                self._file.flush()

    def flush_soon(self) -> None:
        """Write before the event loop next waits for I/O, or at once if no loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            if len(self._waiting) == 1:  # a longer buffer is scheduled already
                loop.call_soon(self.flush)


class LineWriter:
    """Logger for structlog's rendered lines. Warnings and errors are written at once."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def info(self, line: str) -> None:
        self._lines.write(f"{line}\n")
        self._lines.flush_soon()

    def warning(self, line: str) -> None:
        self._lines.write(f"{line}\n")
        self._lines.flush()

    debug = info
    error = critical = warning
