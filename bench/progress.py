"""Progress lines of a benchmark."""

import time
from collections.abc import Callable

Progress = Callable[[str], None]


def stopwatch() -> Progress:
    """Return a function that prints a line with the time since this call."""
    began = time.monotonic()

    def report(what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:2d}:{seconds:02d}  {what}", flush=True)

    return report


def silent(what: str) -> None:
    """Print nothing."""
