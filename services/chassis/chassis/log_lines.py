"""Log lines on their way to stderr: those of one turn of the event loop leave in one write.

Each write wakes whoever reads the log, and a batch of requests that ends together logs a line for each of them. A line
waits for the other callbacks of its turn and never for I/O, so that a killed process has written all but its last turn.
"""

import asyncio
from threading import Lock
from typing import TextIO


class Lines:
    """A text stream that can write soon instead of now. May be used from any thread."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = Lock()
        self._waiting: list[str] = []

    def write(self, text: str) -> None:
        """Take in whole lines; `flush` or `flush_soon` writes them."""
        with self._lock:
            self._waiting.append(text)

    def flush(self) -> None:
        """Write all that waits, in order."""
        with self._lock:
            text = "".join(self._waiting)
            self._waiting.clear()
            if text:
                self._file.write(text)
                self._file.flush()

    def flush_soon(self) -> None:
        """Write before the event loop waits for I/O again; at once where none runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            if len(self._waiting) == 1:  # else it is on its way
                loop.call_soon(self.flush)


class LineWriter:
    """What structlog calls with each rendered line. Warnings and worse are written at once."""

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
